// A client of the common command line (bench/README.md) on Go's x/crypto/ssh: a goroutine for
// each host or channel, known_hosts read once.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const blockSize = 32 * 1024

type options struct {
	hosts, key, knownHosts, user, command, kex, cipher string
	from, to                                           string
	parallel, port, count                              int
	bytes                                              int64
}

type bench struct {
	options
	addresses []string
	config    *ssh.ClientConfig
}

func (b *bench) connect(address string) (*ssh.Client, error) {
	client, err := ssh.Dial("tcp", address, b.config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return client, nil
}

func (b *bench) exec(client *ssh.Client) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = session.Output(b.command)
	return err
}

func (b *bench) connectAndExec(address string) error {
	client, err := b.connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	return b.exec(client)
}

// atOnce calls work(0) to work(n-1), so many in parallel, and returns one error of theirs.
func atOnce(n, parallel int, work func(int) error) error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	failed := make(chan error, 1)
	for i := 0; i < n; i++ {
		i := i
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := work(i); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			<-slots
		}()
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (b *bench) fanout(addresses []string) (int64, error) {
	err := atOnce(len(addresses), b.parallel, func(i int) error {
		return b.connectAndExec(addresses[i])
	})
	return int64(len(addresses)), err
}

func (b *bench) execMany() (int64, error) {
	client, err := b.connect(b.addresses[0])
	if err != nil {
		return 0, err
	}
	defer client.Close()
	err = atOnce(b.count, b.parallel, func(int) error { return b.exec(client) })
	return int64(b.count), err
}

// stream connects, starts the command and lets move do the transfer.
func (b *bench) stream(move func(*ssh.Session) (int64, error)) (int64, error) {
	client, err := b.connect(b.addresses[0])
	if err != nil {
		return 0, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return 0, err
	}
	defer session.Close()
	moved, err := move(session)
	if err != nil {
		return 0, err
	}
	if moved != b.bytes {
		return 0, fmt.Errorf("%d of %d bytes", moved, b.bytes)
	}
	return moved, nil
}

func (b *bench) down(session *ssh.Session) (int64, error) {
	out, err := session.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := session.Start(b.command); err != nil {
		return 0, err
	}
	var received int64
	block := make([]byte, blockSize)
	for {
		n, err := out.Read(block)
		received += int64(n)
		if errors.Is(err, io.EOF) {
			return received, session.Wait()
		}
		if err != nil {
			return 0, err
		}
	}
}

func (b *bench) up(session *ssh.Session) (int64, error) {
	in, err := session.StdinPipe()
	if err != nil {
		return 0, err
	}
	var answer bytes.Buffer
	session.Stdout = &answer
	if err := session.Start(b.command); err != nil {
		return 0, err
	}
	block := make([]byte, blockSize)
	for left := b.bytes; left > 0; {
		if left < int64(len(block)) {
			block = block[:left]
		}
		n, err := in.Write(block)
		if err != nil {
			return 0, err
		}
		left -= int64(n)
	}
	if err := in.Close(); err != nil {
		return 0, err
	}
	if err := session.Wait(); err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(answer.String()), 10, 64)
}

// idle opens half of the sessions, then the rest; at each halt it waits for a line.
func (b *bench) idle() (int64, error) {
	stdin := bufio.NewReader(os.Stdin)
	halt := func(open int) error {
		fmt.Printf("open %d\n", open)
		_, err := stdin.ReadString('\n')
		return err
	}
	clients := make([]*ssh.Client, b.count)
	if err := halt(0); err != nil {
		return 0, err
	}
	from := 0
	for _, to := range []int{b.count / 2, b.count} {
		err := atOnce(to-from, b.parallel, func(i int) (err error) {
			clients[from+i], err = b.connect(b.addresses[from+i])
			return err
		})
		if err == nil {
			err = halt(to)
		}
		if err != nil {
			return 0, err
		}
		from = to
	}
	for _, client := range clients {
		if err := client.Close(); err != nil {
			return 0, err
		}
	}
	return int64(len(clients)), nil
}

// transfer copies one file with github.com/pkg/sftp.
func (b *bench) transfer(move func(*sftp.Client) error) (int64, error) {
	client, err := b.connect(b.addresses[0])
	if err != nil {
		return 0, err
	}
	defer client.Close()
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
	if err != nil {
		return 0, err
	}
	defer files.Close()
	return int64(b.count), move(files)
}

func (b *bench) get(files *sftp.Client) error {
	from, err := files.Open(b.from)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(b.to)
	if err != nil {
		return err
	}
	if _, err := from.WriteTo(to); err != nil {
		return err
	}
	return to.Close()
}

func (b *bench) put(files *sftp.Client) error {
	from, err := os.Open(b.from)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := files.Create(b.to)
	if err != nil {
		return err
	}
	if _, err := to.ReadFrom(from); err != nil {
		return err
	}
	return to.Close()
}

func (b *bench) run(verb string) (int64, error) {
	switch verb {
	case "one":
		return b.fanout(b.addresses[:1])
	case "fanout":
		return b.fanout(b.addresses)
	case "exec":
		return b.execMany()
	case "down":
		return b.stream(b.down)
	case "up":
		return b.stream(b.up)
	case "idle":
		return b.idle()
	case "get":
		return b.transfer(b.get)
	case "put":
		return b.transfer(b.put)
	}
	return 0, fmt.Errorf("unknown verb %q", verb)
}

func (b *bench) prepare() error {
	pem, err := os.ReadFile(b.key)
	if err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return err
	}
	check, err := knownhosts.New(b.knownHosts)
	if err != nil {
		return err
	}
	b.config = &ssh.ClientConfig{
		User:              b.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   check,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}
	b.config.KeyExchanges = []string{b.kex}
	b.config.Ciphers = []string{b.cipher}

	list, err := os.ReadFile(b.hosts)
	if err != nil {
		return err
	}
	for _, host := range strings.Fields(string(list)) {
		b.addresses = append(b.addresses, net.JoinHostPort(host, strconv.Itoa(b.port)))
	}
	return nil
}

func main() {
	var b bench
	flags := flag.NewFlagSet("go-client", flag.ExitOnError)
	flags.StringVar(&b.hosts, "hosts", "", "file of addresses, one a line")
	flags.IntVar(&b.parallel, "parallel", 1, "hosts or channels at once")
	flags.StringVar(&b.key, "key", "", "private key file")
	flags.StringVar(&b.knownHosts, "known-hosts", "", "known_hosts file")
	flags.StringVar(&b.user, "user", "", "user")
	flags.IntVar(&b.port, "port", 22, "port")
	flags.IntVar(&b.count, "count", 1, "commands, or sessions")
	flags.Int64Var(&b.bytes, "bytes", 0, "bytes to move")
	flags.StringVar(&b.command, "command", "true", "remote command")
	flags.StringVar(&b.from, "from", "", "file to copy")
	flags.StringVar(&b.to, "to", "", "where to")
	flags.StringVar(&b.kex, "kex", "", "key exchange")
	flags.StringVar(&b.cipher, "cipher", "", "cipher")
	if len(os.Args) < 2 {
		flags.Usage()
		os.Exit(2)
	}
	flags.Parse(os.Args[2:])

	err := b.prepare()
	var done int64
	if err == nil {
		done, err = b.run(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-client:", err)
		os.Exit(1)
	}
	fmt.Println("ok", done)
}
