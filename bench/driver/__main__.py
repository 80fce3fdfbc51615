"""Runs the workloads, peer after peer in turn and round after round, and prints the tables.

Started by bench/run, which has installed and built what it takes.
"""
import argparse
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time

import checks
import client
import goals
import idle
import peers
import report
import server
import transfers
import workloads

STARTUP = "startup"
STARTUP_REPEAT = 4


def say(text):
    print("bench:", text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.faults = 0
        self.found = {}  # workload -> peer -> {field: median}

    def fault(self, text):
        self.faults += 1
        say(text)

    def rotate(self, title, names, turns, measure):
        """One run each, in turn, so many turns. Name -> what measure returned.

        Every other turn goes backwards, so that nobody always follows the same one: what a peer leaves
        behind (a warm cache, memory to be freed) would be counted for its follower."""
        results = {name: [] for name in names}
        for turn in range(turns):
            say(f"{title}: {turn + 1} of {turns}")
            for name in reversed(names) if turn % 2 else names:
                try:
                    results[name].append(measure(name))
                except client.RunFailed as failure:
                    self.fault(f"{title}: run of {name} discarded: {failure}")
        return results

    def startup(self, work):
        commands = peers.startup_commands()
        if peers.SSHLUA not in commands:
            say("sshlua is left out: no program (SSHLUA names it)")

        def measure(name):
            return client.run(commands[name], work, None, 60)

        runs = self.rotate(STARTUP, list(commands), self.rounds * STARTUP_REPEAT, measure)
        found = self.medians(STARTUP, runs, 1)
        self.show("Start-up alone: nothing to do", report.usage_table(found, runs, "run"))

    def workload(self, load, fit, host):
        names = [name for name in load.peers if name in fit]
        turns = min(self.rounds, load.most_rounds or self.rounds) * load.repeat

        def measure(name):
            if load.verb == "idle":
                return idle.run(load, fit[name], host)
            return load.run(fit[name], host)

        runs = self.rotate(load.name, names, turns, measure)
        found = self.medians(load.name, runs, load.units)
        if load.verb == "idle":
            self.show(load.title, report.idle_table(found, runs, load.count))
        else:
            self.show(load.title, report.usage_table(found, runs, load.unit))

    def medians(self, name, runs, units):
        found = self.found[name] = report.medians(runs)
        for of in found.values():
            of["each"] = of["cpu"] * 1000 / units
        return found

    def show(self, title, text):
        print(f"### {title}\n\n{text}\n", flush=True)

    def fit_peers(self, host):
        """The peers that are here and do what they are measured for."""
        fit = {}
        host.start("DEBUG2")
        for peer in peers.all_peers().values():
            if peer.missing:
                say(f"{peer.name} is left out: {peer.missing}")
                continue
            wrong = checks.complaint(peer, host) if peer.checked else None
            if wrong:
                self.fault(f"{peer.name} is left out: {wrong}")
            else:
                fit[peer.name] = peer
        host.stop()
        return fit

    def run(self, work, loads):
        print(f"{time.strftime('%Y-%m-%d')}, {platform.node()}, Linux {platform.release()}, "
              f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {self.rounds} rounds\n")
        if self.wanted(STARTUP):
            self.startup(work)
        if not loads:
            return
        host = server.Server(work)
        try:
            fit = self.fit_peers(host)
            host.start("ERROR")
            for load in loads:
                self.workload(load, fit, host)
        finally:
            host.stop()

    def show_goals(self):
        text = goals.table(self.found)
        if text:
            self.show("Goals", text)

    def wanted(self, name):
        return not self.options.only or name.startswith(tuple(self.options.only))


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def parse():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--rounds", type=positive)
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def main():
    bench = Bench(parse())
    every = workloads.all_workloads(bench.options.quick) + transfers.all_workloads(bench.options.quick)
    if bench.options.list:
        print("\n".join([STARTUP] + [load.name for load in every]))
        return 0
    loads = [load for load in every if bench.wanted(load.name)]
    if not loads and not bench.wanted(STARTUP):
        say(f"no workload is called {bench.options.only}; --list names them")
        return 2

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))  # so that `finally` ends the server
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    work = tempfile.mkdtemp(prefix="sshlua-bench.")
    try:
        bench.run(work, loads)
        bench.show_goals()
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if bench.faults:
        say(f"{bench.faults} faults, see above")
    return 1 if bench.faults else 0


sys.exit(main())
