-- The grammars that people, programs and servers write and our Lua reads, for spec.support.mutator: samples, pieces,
-- the parser, and what must hold of all that it accepts.
local core = require "sshlua.core"
local files = require "spec.support.files"
local gen = require "spec.support.ssh_config_gen"
local hostset = require "sshlua.hostset"
local jump_config = require "sshlua.ssh_config.jump"
local keylock = require "sshlua.keylock"
local known_hosts_command = require "sshlua.known_hosts_command"
local known_hosts_edit = require "sshlua.known_hosts_edit"
local literal = require "sshlua.inventory.literal"
local mutator = require "spec.support.mutator"
local resolver = require "sshlua.ssh_config.resolver"
local scp_wire = require "sshlua.scp_wire"
local ssh = require "sshlua"
local ssh_args = require "sshlua.inventory.ssh_args"
local yaml = require "sshlua.yaml"

local M = {}

local function add(grammar)
  grammar.text = grammar.text or mutator.one_of(grammar.samples)
  M[#M + 1] = grammar
end

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

-- ---- ssh_config

local sections = { "Host web1 db* !x", "Host *", "Match host web* user root", "Match all" }

add {
  name = "ssh_config", kinds = { config = true, resolve = true },
  pieces = words [[Host Match Include all final host originalhost user none = , ! * ? [ ] : { } ( ) @ // ssh:// Port HostName %h ${HOME}]],
  text = function(r)
    local lines = {}
    for n = 1, r(6) do lines[n] = r(4) == 1 and sections[r(#sections)] or gen.line(r) end
    -- A glob reads directories in another thread, which takes longer than all the rest.
    if r(50) == 1 then lines[r(#lines)] = "Include " .. files.directory() .. "/none*" end
    return table.concat(lines, "\n") .. "\n"
  end,
  read = function(text)
    -- Neither commands nor look-ups.
    text = text:gsub("[Ee][Xx][Ee][Cc]", "host"):gsub("[Cc][Aa][Nn][Oo][Nn]", "x")
    local path = files.write("ssh_config", text, 384)
    local ok, result = pcall(resolver.resolve, "web1", { file = path })
    os.remove(path) -- the next one must not be taken for this one
    if not ok then error(result, 0) end
    assert(result.values.port >= 1 and result.values.port <= 65535)
  end,
}

local hops = { "none", "bob@jump:2222", "a,b,c", "ssh://x@y:1", "[::1]:22", "10.1.1.1", "u@[fe80::1%lo]:22,b", "ssh://a%40b@c/" }
local chains = { "a # c,d", table.unpack(hops) }
local hop_pieces = words "@ : , / [ ] ssh:// % %41 %zz ; none :: [::1] 65536 0 a.b"

add {
  name = "ProxyJump", kinds = { config = true }, names = "^ProxyJump", samples = hops, pieces = hop_pieces, size = 2000,
  read = function(text)
    for _, hop in ipairs(jump_config.hops(text)) do assert(not hop:gsub("^.*@", ""):find "[%s%c/]", hop) end
  end,
}

-- A chain that was understood says the same again, and is one hop to us where it is one.
add {
  name = "ssh -G's proxyjump", kinds = { config = true }, samples = chains, pieces = hop_pieces, size = 2000,
  read = function(text)
    local chain = jump_config.chain(text)
    if not chain or not chain.last then return end
    local again = jump_config.chain(jump_config.text(chain))
    assert((chain.last.port or 22) >= 1 and (chain.last.port or 22) <= 65535) -- the host may be "[]", as with ssh
    if chain.last.host:find "[%[%]%s%c/]" or chain.last.host:lower() == "none" then return end
    local cut = (chain.last.user or ""):find "[#%s]" -- a comment or an end when it is read again, as in ssh
    local host = chain.last.host:gsub("%.$", "") -- a domain name in an ssh:// URI loses its last dot
    if again and again.last and not cut then assert(again.last.host == chain.last.host, jump_config.text(chain)) end
    local ours = jump_config.hops(jump_config.option { last = chain.last })
    assert(#ours == 1 and ours[1]:find(host, 1, true), jump_config.option { last = chain.last })
  end,
}

-- ---- host keys

local KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
local lines = {
  "alpha " .. KEY .. "\n", "alpha,[beta]:2222,10.0.0.1 " .. KEY .. " SHA256:x comment\n", "@revoked * " .. KEY .. "\n",
  "@cert-authority *.example.com " .. KEY .. "\n# a comment\n\nalpha " .. KEY .. "\n", "* " .. KEY .. "\n!alpha,a?pha " .. KEY .. "\n",
  "|1|MDEyMzQ1Njc4OWFiY2RlZmdoaWo=|MDEyMzQ1Njc4OWFiY2RlZmdoaWo= " .. KEY .. "\n",
}
local line_pieces = { "alpha", "beta", "[alpha]:22", "*", "?", "!", ",", "|1|", "|", "=", "@revoked", "@cert-authority", "@", "ssh-rsa", "ssh-ed25519",
  "AAAA", KEY, "SHA256:", "1024 35 1", ("a,"):rep(200) }

-- Lines of known_hosts as a program prints them, as `sshlua keys` edits them.
add {
  name = "known_hosts lines", kinds = { config = true, limit = true }, samples = lines, pieces = line_pieces,
  read = function(text)
    local set = known_hosts_edit.set_of(text, "printed")
    for _, w in ipairs(set:warnings()) do assert(w.line >= 1 and w.message ~= "" and not w.message:find "%c", w.message) end
    for _, l in ipairs(set:lookup("alpha", 22) or {}) do assert(l.line >= 1) end
    local left = known_hosts_edit.remove(text, "printed", "alpha", 22)
    assert(#left <= #text)
    local again = known_hosts_edit.remove(left, "printed", "alpha", 22)
    assert(again == left, "removing twice is not removing once")
  end,
}

add {
  name = "a lock file of keys", kinds = { config = true, limit = true }, names = "locked:%d+: ", samples = lines, pieces = line_pieces,
  read = function(text)
    local lock = keylock.read("locked", text)
    local written = keylock.text(lock)
    assert(written == keylock.text(keylock.read("locked", written)), "what was written reads as something else")
    for _, entry in ipairs(keylock.misleading(lock)) do assert(entry.comment:find "SHA256:") end
    keylock.compare(lock.entries, {})
  end,
}

add {
  name = "known_hosts_command", kinds = {}, size = 1000,
  samples = { "/bin/echo %H", '/x "a b" %h:%p \'%n\' %r', "/x %C%i%I%k%K%t%f", "/x a\\ b ${HOME} %%", "none" },
  pieces = words [[/ %H %h %z % " ' \" \' \\ \ ${HOME} ${ } ${NO_SUCH_VARIABLE} %% a]],
  read = function(text, r)
    local target = { name = "n", hostname = "h.example", port = 2222, user = "u", opts = { known_hosts_command = text } }
    local argv, why = known_hosts_command.argv(target, "HOSTNAME", "n", r(2) == 1 and "\0\0\0\11ssh-ed25519" or nil)
    if not argv then return assert(type(why) == "string" and why ~= "") end
    assert(argv[1]:sub(1, 1) == "/")
    for _, word in ipairs(argv) do assert(type(word) == "string") end
  end,
}

-- ---- hosts

add {
  name = "host expressions", kinds = { usage = true, limit = true }, names = "column %d+: ", size = 400,
  samples = { "web[1-3],db1", "app@web[01-20/2,33].dc1:2222", "@g!x2&x[1-9]^y", "^file,[::1]:22", "a[1-3]b[0,7-9]", "fe80::1%eth0", "@g:x" },
  pieces = words "a web [ ] 1 07 - , ! & ^ @ : / 2 10 . ::1 é 999999999999999 [1-3] [01-20/3] * %",
  read = function(text, r)
    local sources = { group = function(_, name) return #name < 3 and "x[1-3],y" or nil end, read = function() return "f[1-2]\n" end }
    local hosts = hostset.expand(text, { limit = 5000, sources = sources, select = r(4) == 1 })
    assert(#hosts <= 5000)
    if #hosts > 0 then assert(#hosts == #hostset.expand(hostset.fold(hosts)), "folding changed the set") end
  end,
}

-- ---- inventories

local function inventory(format, samples, pieces)
  add {
    -- In a task each file would go through the thread pool, which takes longer than to read what is in it.
    outside_tasks = true,
    name = "inventories: " .. format, samples = samples, pieces = pieces, size = 2000,
    kinds = { config = true, usage = true, limit = true, protocol = true },
    read = function(text)
      local inv = ssh.inventory(files.write("mutant", text), { format = format })
      assert(#inv:expand() == #inv.model.host_order)
    end,
  }
end

inventory("ini", {
  "lonely ansible_host=10.0.0.9\n; comment\n[web]\nweb[01:03] role=\"front end\" n=5 list=\"[1, 'a', True]\" none=None\n",
  "[db]\ndb-[a:c]\n[::1]:2200\n[prod:children]\nweb   # of the shop\ndb\n[web]\n[prod:vars]\nenv = prod = yes\ncount=0x10\n",
  "web13:2222 ansible_user=deploy ansible_ssh_common_args='-o ProxyJump=a -p 22'\n",
}, { "[", "]", ":", "\n[", "=", "web", "all", "[3:3]", "[c:c]", "[1:1:2]", "[web:children]\n", "[web:vars]\n", "ansible_port=", "{", "(", "None", ";" })

inventory("json", {
  '{"web": {"hosts": ["w1", "a[1:3]"], "vars": {"x": 1}}, "p": {"children": ["web"]}}',
  '{"all": {"children": {"web": {"hosts": {"a[1:3]": {"ansible_port": 22}}}}}}',
  '{"_meta": {"hostvars": {"a": {"x": [1.5e3, true, "\\u00e9"]}}}, "g": ["a", "b"]}',
}, { "{", "}", "[", "]", ":", ",", '"hosts"', '"children"', '"vars"', "null", "true", "1e999", '"\\u0000"', '"\\ud800"', ("["):rep(200), "{}" })

inventory("lua", {
  'return { web = { hosts = { ["a[1-3]"] = { n = 1 }, b = {} }, vars = { x = 1 } } }',
  'local t = {}\nfor i, n in ipairs { "a", "b" } do t[i] = n .. i end\nreturn { g = { hosts = t, children = { h = {} } } }',
}, { "{", "}", "=", ",", "return", "hosts", "vars", "children", "nil", "t", "[1]", "[[", "]]", "--", "1e308",
  "#",
  "function() end", "[true]", "[type]", "..", "error", "(", ")" })

inventory("groups", { "a: n[1-3]\nb: @a!n2\n", "# x\nmost: a,b c\nweb: web[1-9/2] @most\n" },
  { ":", "@", "!", "&", "^", "*", ",", "[", "]", "[3-3]", "\na: ", "@*", "@local:a", "@most", "@a", "@b", "@web", "c: " })

local layouts = {
  "all:\n  vars: {x: 1}\n  children:\n    web:\n      hosts:\n        a[1:3]: {ansible_port: 22}\n        b:\n",
  "web: {hosts: {a: &x {p: 1}, b: {<<: *x, q: 'y'}}, children: {inner: {hosts: {c: null}}}}\n",
  "sources:\n  a: 'n[1-3]'\n  b: [x, y]\n",
}
local documents = {
  "a: &x {p: 1, q: [1, 2.5, 'x']}\nb: *x\nc: {<<: *x, q: !!str 2}\nd: |\n  text\n  more\ne: >-\n  folded\nf:\n- 1\n- \"\\u00e9\"\n",
  layouts[1], layouts[3],
}
local bits = { "[", "]", "{", "}", ":", ": ", "\n", "\n  ", "- ", "&x ", "*x", "<<: *x", "!!int ", "!!float ", "!", "|", ">", "? ", "---\n", "...\n",
  "%YAML 1.1\n",
  "@", "`", ",", ("["):rep(70), ("a"):rep(2000), "\226\128\168", "${HOME}", "${X:-y}", "hosts", "children", "0x", "0o8", ".inf", "1_0", "~" }

if core.about().yaml then
  inventory("yaml", layouts, bits)

  add {
    name = "YAML", kinds = { config = true, protocol = true, limit = true }, samples = documents, pieces = bits,
    read = function(text) yaml.decode(text, "mutant", { environment = true }) end,
  }
end

add {
  name = "Python literals", kinds = {}, size = 1000,
  samples = { "[1, 'a', True, None]", "{'a': (1, 2.5), \"b\": -0x1f}", "'x\\n\\u00e9' 'y'", "1_000e3", "{1, 2}", "[[[]]]", "3j" },
  pieces = words [[ [ ] { } ( ) , : ' " \x41 \u00e9 \777 \N{a} 0x 0b1 1e999 -0 True None inf nan r' b' ''' """ ]],
  read = function(text) assert(literal.value(text) ~= nil) end,
}

add {
  name = "ssh arguments", kinds = { config = true }, size = 1000,
  samples = { "-o ProxyJump=a -p 22", "-o 'ProxyCommand=ssh -W %h:%p b' -C -4", "-oPort=22 -i ~/k -J a,b -l u",
    '-o StrictHostKeyChecking=no -o "UserKnownHostsFile /dev/null"' },
  pieces = words [[-o -J -p -i -l -F -v -oX=1 = ' " \ ServerAliveInterval=5 Ciphers=+a ConnectTimeout=1e9 none yes - --]],
  read = function(text) ssh_args.parse(text) end,
}

add {
  name = "lines of scp", kinds = {}, size = 1000,
  text = mutator.one_of { "C0644 5 name", "D0755 0 a b", "E", "T1000000000 0 1000000000 0" },
  pieces = { "C", "D", "E", "T", "0644", "9", " ", "/", "..", "\0", "-1", "99999999999999999999", "\255", "name" },
  read = function(text)
    local said = scp_wire.parse(text)
    if not said then return end
    assert(not said.name or scp_wire.is_name(said.name))
    assert(not said.size or said.size >= 0 and said.size <= 2 ^ 53)
  end,
}

return M
