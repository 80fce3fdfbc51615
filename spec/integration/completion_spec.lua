-- Completions of the command line in the real shells: bash, zsh, fish. What may stand there is the program's own answer.
local program = require "spec.support.program"
local run = require "spec.support.run"

local function has(shell) return os.execute("command -v " .. shell .. " >/dev/null 2>&1") == true end

-- The words of an answer, without their texts.
local function words(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line:match "^[^\t]*" end
  return list
end

local function it_completes(name, shell, fn)
  it(name, run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    if shell and not has(shell) then run.skip("there is no " .. shell) end
    fn()
  end, 120))
end

-- The program as sshlua in PATH, in front of a shell's command line.
local function with_shell(line)
  local r = program.start({}, { shell = [[
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
case $0 in /*) ln -s "$0" "$dir/sshlua" ;; *) ln -s "$PWD/$0" "$dir/sshlua" ;; esac
PATH=$dir:$PATH HOME=$dir XDG_CONFIG_HOME=$dir XDG_DATA_HOME=$dir
export XDG_CONFIG_HOME XDG_DATA_HOME
]] .. line }):finish()
  assert.equal(0, r.code, r.err)
  return r.out
end

describe("completion", function()
  it_completes("knows commands, options, words of options, and whose words come next", nil, function()
    local function complete(...)
      local r = program.run { "help", "--complete", ... }
      assert.equal("", r.err)
      return words(r.out)
    end
    assert.same({ "rec", "run", ":files" }, complete "r")
    assert.same({ "--journal" }, complete "--j")
    assert.same({ "--on-fail", "--only" }, complete("run", "--on"))
    assert.same({ "stop", "skip", "continue" }, complete("run", "--on-fail", ""))
    assert.same({ "stop", "skip" }, complete("run", "--on-fail", "=", "s")) -- as bash cuts it
    assert.same({ "--order=sorted", "--order=shuffle" }, complete("run", "--order=s"))
    assert.same({ "follow" }, complete("put", "x", "--links", "f"))
    assert.same({ ":dirs" }, complete("run", "--outdir", ""))
    assert.same({ ":files" }, complete("run", "-w", "a", "--report", ""))
    assert.same({ ":files" }, complete("run", "-w", "a", "ls", "-")) -- the command's own words
    assert.same({ ":files" }, complete("script.lua", "--"))
    assert.same({}, complete("run", "-w", ""))
    assert.same({ "scan" }, complete("keys", "s"))
    assert.same({ "-o" }, complete("ssh", "-o"))
    assert.equal("scan", complete("keys", "")[1])
    assert.same({ "--check", "--count" }, (function(list)
      table.sort(list)
      return list
    end)(complete("hosts", "--c")))
  end)

  it_completes("works in bash", "bash", function()
    local out = with_shell [[bash --norc -c '
. tools/completion/sshlua.bash
try() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _sshlua; echo "${COMPREPLY[*]}"; }
try sshlua sy; try sshlua run --on-f; try sshlua run --on-fail = s; try sshlua run --report tools/comp']]
    assert.equal("sync\n--on-fail\nstop skip\ntools/completion\n", out)
  end)

  it_completes("works in fish", "fish", function()
    local out = with_shell [[fish --no-config -c '
source tools/completion/sshlua.fish
for line in "sshlua sy" "sshlua run --on-f" "sshlua put --links f" "sshlua run --report tools/comp"
complete -C $line; end']]
    assert.same({ "sync", "--on-fail", "follow", "tools/completion/" }, words(out))
  end)

  it_completes("works in zsh", "zsh", function()
    local script = program.file("try.zsh", [[
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; stty -echo; unset zle_bracketed_paste; fpath=($PWD/tools/completion \$fpath); autoload -Uz compinit"
zpty -w z "compinit -u -D; echo re\$((0))dy"
zpty -r z out "*re0dy*"
try() { zpty -w -n z "$1"$'\t'; zpty -r z out "*${1}*$2*" && echo "$1$2"; zpty -w -n z $'\x15'; }
try "sshlua sy" nc; try "sshlua run --on-f" ail; try "sshlua put --links f" ollow
try "sshlua run --report tools/comp" letion
zpty -d z
]])
    local out = with_shell("timeout 30 zsh -f " .. script)
    program.remove_directory()
    assert.equal("sshlua sync\nsshlua run --on-fail\nsshlua put --links follow\nsshlua run --report tools/completion\n", out)
  end)
end)
