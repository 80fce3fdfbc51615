require "spec.support.text_core"
local errors = require "sshlua.errors"
local quote = require "sshlua.quote"

local function fails(text, fn, ...)
  local good, e = pcall(fn, ...)
  assert.is_false(good)
  assert.is_true(errors.is(e, "usage"))
  assert.matches(text, e.message, 1, true)
  return e
end

--- Runs a script with a shell and returns what it printed.
local function run(shell, script)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(script)
  file:close()
  local pipe = assert(io.popen("LC_ALL=C " .. shell .. " " .. path .. " 2>&1", "r"))
  local out = pipe:read("*a")
  pipe:close()
  os.remove(path)
  return out
end

local shells = {}
for _, shell in ipairs { "sh", "dash", "bash", "busybox sh", "ksh", "mksh", "zsh", "fish" } do
  local pipe = io.popen("command -v " .. shell:match("^%a+") .. " 2>/dev/null")
  if pipe:read("*l") then shells[#shells + 1] = shell end
  pipe:close()
end

--- Bytes that are likely to break quoting, and all others.
local pieces = { "'", "\\", '"', "$", "`", "$(echo broken)", "\n", " ", ";", "&", "|", "#", "~", "*", "?", "!", "{a,b}",
  "%s", "-", "=", "''", "\\'", "\\\\", "\\\\'", "$'", "\r", "\27", "\255", "é", "if" }

local function random_text()
  local out = {}
  for i = 1, math.random(0, 12) do
    out[i] = math.random(3) == 1 and string.char(math.random(255)) or pieces[math.random(#pieces)]
  end
  return table.concat(out)
end

local function random_list()
  local list = {}
  for i = 1, 300 do list[i] = random_text() end
  for byte = 1, 255 do list[#list + 1] = string.char(byte) end
  for byte = 1, 255 do list[#list + 1] = "a" .. string.char(byte) .. "b" end
  return list
end

describe("quote", function()
  it("leaves safe words bare", function()
    for _, s in ipairs { "web01", "/etc/hosts", "a.b-c_d", "user@host:22", "+x", "1,2", "50%", "-rf" } do
      assert.equal(s, quote.quote(s))
    end
  end)

  it("puts everything else in single quotes", function()
    assert.equal("''", quote.quote(""))
    assert.equal("'a b'", quote.quote("a b"))
    assert.equal("'it'\\''s'", quote.quote("it's"))
    assert.equal("'$HOME'", quote.quote("$HOME"))
    assert.equal("'~root'", quote.quote("~root"))
    assert.equal("'A=b'", quote.quote("A=b"))
    assert.equal("'é'", quote.quote("é"))
    assert.equal("'a\nb'", quote.quote("a\nb"))
    assert.equal([['\d+\.txt']], quote.quote([[\d+\.txt]]))
  end)

  it("quotes the shell's own words, so that a command of that name is meant", function()
    for _, s in ipairs { "if", "time", "done", "function" } do assert.equal("'" .. s .. "'", quote.quote(s)) end
  end)

  it("writes numbers as people would", function()
    assert.equal("5", quote.quote(5))
    assert.equal("-5", quote.quote(-5))
    assert.equal("2", quote.quote(2.0))
    assert.equal("0.1", quote.quote(0.1))
    assert.equal("9007199254740992", quote.quote(2 ^ 53))
    assert.equal(1e300, tonumber(quote.quote(1e300)))
    assert.equal(1 / 3, tonumber(quote.quote(1 / 3)))
  end)

  it("refuses what cannot be a word, at the caller's line", function()
    fails("quote: the value is nil", quote.quote)
    fails("is a table; a string or a number can be quoted", quote.quote, {})
    fails("is a boolean", quote.quote, true)
    fails("is a function", quote.quote, print)
    fails("contains a NUL byte", quote.quote, "a\0b")
    fails("is not a finite number", quote.quote, 0 / 0)
    fails("is not a finite number", quote.quote, math.huge)
    local e = fails("quote_spec.lua:", function() quote.quote(nil) end)
    assert.matches(":" .. debug.getinfo(1, "l").currentline - 1 .. ":", e.message, 1, true)
  end)

  it("gives every shell here back the very bytes it was given", function()
    assert.is_true(#shells > 0)
    local seed = os.time()
    math.randomseed(seed)
    for _, shell in ipairs(shells) do
      local list = random_list()
      local words = {}
      for i, s in ipairs(list) do
        words[i] = quote.quote(s)
      end
      local printf = shell == "fish" and "command printf" or "printf"
      local out = run(shell, printf .. " '%s\\0' " .. table.concat(words, " ") .. "\n")
      local n = 0
      for got in out:gmatch("([^%z]*)%z") do
        n = n + 1
        assert.equal(list[n], got, shell .. ", seed " .. seed)
      end
      assert.equal(#list, n, shell)
    end
  end)
end)

describe("argv", function()
  it("quotes a vector", function()
    assert.equal("curl -fsS 'http://h/?a=b&c' 5", quote.argv { "curl", "-fsS", "http://h/?a=b&c", 5 })
    assert.equal("'A=b' x", quote.argv { "A=b", "x" })
    assert.equal("echo ''", quote.argv { "echo", "" })
  end)

  it("refuses nil with its index, in the middle and at a counted end", function()
    fails("argv: argument 2 is nil", quote.argv, { "a", nil, "b" })
    fails("argv: argument 2 is nil", quote.argv, { "a", n = 2 })
    fails("argv: argument 1 is nil", quote.argv, { nil, "b" })
  end)

  it("refuses NUL, tables and other values with their index", function()
    fails("argv: argument 3 contains a NUL byte", quote.argv, { "a", "b", "\0" })
    fails("argv: argument 2 is a table", quote.argv, { "a", {} })
    fails("argv: argument 1 is a boolean", quote.argv, { true })
  end)

  it("refuses what is no vector", function()
    fails("argv: the argument vector is empty", quote.argv, {})
    fails("argv: argument 1, the command, is empty", quote.argv, { "" })
    fails("argv: a list expected, got string", quote.argv, "ls -l")
    fails('argv: key "cwd" in an argument vector', quote.argv, { "ls", cwd = "/" })
    fails("argv: key 0 in an argument vector", quote.argv, { [0] = "ls", "x" })
    fails("argv: key 1.5", quote.argv, { "ls", [1.5] = "x" })
    fails("is not the length of the list", quote.argv, { "ls", "x", n = 1 })
    fails("is not the length of the list", quote.argv, { "ls", n = "2" })
  end)

  it("blames the caller's line, or the one of the level asked for", function()
    local function inner(level)
      local text = quote.argv({}, level)
      return text
    end
    local function middle(level)
      local text = inner(level)
      return text
    end
    local line = debug.getinfo(1, "l").currentline
    fails(":" .. line - 7 .. ": argv: the argument vector is empty", middle, 1)
    fails(":" .. line - 3 .. ": argv: the argument vector is empty", middle, 2)
    local function env(level)
      local text = quote.env_prefix({ ["-"] = 1 }, level)
      return text
    end
    fails(":" .. line + 4 .. ": env:", env)
    fails(":" .. line + 8 .. ": env:", function() env(2) end)
    local function holes(level)
      local text = quote.argv({ x = 1 }, level)
      return text
    end
    fails(":" .. line + 10 .. ": argv: key", holes)
    fails(":" .. line + 14 .. ": argv: key", function() holes(2) end)
  end)

  it("runs the command it was given and nothing else", function()
    local list = random_list()
    table.insert(list, 1, "printf")
    table.insert(list, 2, "%s\\0")
    assert.equal(table.concat(list, "\0", 3) .. "\0", run("sh", quote.argv(list) .. "\n"))
  end)
end)

describe("sh", function()
  it("quotes each %s and reads %% as %", function()
    assert.equal("grep 'a b' /etc/* | wc -l", quote.sh("grep %s /etc/* | wc -l", "a b"))
    assert.equal("date +%Y; echo '%s %%'", quote.sh("date +%%Y; echo %s", "%s %%"))
    assert.equal("true", quote.sh("true"))
    assert.equal("a'x y'b'c d'", quote.sh("a%sb%s", "x y", "c d"))
  end)

  it("keeps a number from becoming a descriptor", function()
    assert.equal("echo '2'>file", quote.sh("echo %s>file", 2))
    assert.equal("echo 2 >file", quote.sh("echo %s >file", 2))
    assert.equal("echo x\n2\n", quote.sh("echo x\n%s\n", 2))
  end)

  it("checks the number of values", function()
    fails("sh: the format has 1 %s, but 0 values came", quote.sh, "echo %s")
    fails("sh: the format has 0 %s, but 1 value came", quote.sh, "echo", 1)
    fails("sh: the format has 2 %s, but 1 value came", quote.sh, "echo %s %s", 1)
  end)

  it("names the value that cannot be quoted", function()
    fails("sh: value 2 is nil", quote.sh, "echo %s %s", "a", nil)
    fails("sh: value 1 is a table", quote.sh, "echo %s", {})
    fails("sh: value 1 contains a NUL byte", quote.sh, "echo %s", "\0")
    fails("sh: the format contains a NUL byte", quote.sh, "echo\0")
    fails("sh: the format is a nil, not a string", quote.sh)
  end)

  it("refuses directives it does not know, with their column", function()
    fails('sh: unknown directive "%d" at column 6', quote.sh, "echo %d", 1)
    fails('sh: unknown directive "%" at column 6', quote.sh, "echo %")
    fails('sh: unknown directive "%Y" at column 7', quote.sh, "date +%Y")
  end)

  it("refuses a %s where quotes do not protect", function()
    local cases = {
      { "echo '%s'", "inside single quotes" },
      { 'echo "%s"', "inside double quotes" },
      { [[echo "a\"%s"]], "inside double quotes" },
      { [[sh -c "echo $HOME; echo '%s'"]], "inside double quotes" },
      { "echo `ls %s`", "inside backquotes" },
      { "echo `ls $(cat %s)`", "inside backquotes" },
      { "echo ${x:-%s}", "inside ${...}" },
      { 'echo "${x:-%s}"', "inside ${...}" },
      { "echo ${x:-'%s'}", "inside single quotes" },
      { "echo $((1 + %s))", "inside an arithmetic expression" },
      { "echo $(((1 + 2) * (%s)))", "inside an arithmetic expression" },
      { "((x = %s))", "inside an arithmetic expression" },
      { "ls # all of %s", "in a comment" },
      { "# %s\nls", "in a comment" },
      { [[echo \%s]], "right behind a backslash" },
      { "echo $%s", "right behind a $" },
      { "cat <<EOF\n%s\nEOF", "behind the << of a here-document" },
      { "cat <<EOF | grep %s\nx\nEOF", "behind the << of a here-document" },
      { "echo $'a\\'%s'", "behind a $'...' string" },
      { 'x="$(case a in a) echo "%s";; esac)"', "behind a case inside parentheses" },
    }
    for _, case in ipairs(cases) do fails(case[2], quote.sh, case[1], "x") end
    fails("sh: %s number 2 at column 10 stands inside double quotes", quote.sh, 'echo %s "%s"', "a", "b")
  end)

  it("accepts a %s wherever a word may begin or go on", function()
    for _, fmt in ipairs {
      "%s", "echo '' %s", 'echo "a" %s', [[echo "it's" %s]], [[echo 'say "' %s]], [[echo \" %s]], [[echo \' %s]],
      'x="$(ls %s)"', 'echo "$(ls "$(cat %s)")"', "(cd %s && ls)", "echo `date` %s", "echo ${x:-a} %s", "echo ${#x} $# %s",
      "echo $((1 + 2)) %s", "echo a#b %s", "ls # it's\necho %s", "cat <<< %s", "case x in a) echo %s;; esac", "f() { echo %s; }",
      "echo \\\\%s", "echo \\%% %s", "x=%s", "for i in %s; do echo; done", "test -f /a/%s.conf", "echo \"${x:-'}\" %s",
      "echo $(( (1) )) $(echo %s)", "echo $((2)) # don't\n: %s",
    } do
      assert.matches("'a b'", quote.sh(fmt, "a b"), 1, true)
    end
  end)

  it("lets no value out, whatever the place", function()
    local formats = { "printf '%%s\\0' %s", "x=%s; printf '%%s\\0' \"$x\"", "printf '%%s\\0' \"$(printf '%%s.' %s)\"",
      "(printf '%%s\\0' a%s) # it's", "printf '%%s\\0' \"it's\"%s" }
    local before = { "", "", "", "a", "it's" }
    local after = { "", "", ".", "", "" }
    for i, fmt in ipairs(formats) do
      local script, want = {}, {}
      for n = 1, 120 do
        local s = random_text()
        script[n] = quote.sh(fmt, s) .. "\n"
        want[n] = before[i] .. s .. after[i] .. "\0"
      end
      assert.equal(table.concat(want), run("sh", table.concat(script)))
    end
  end)
end)

describe("env_prefix", function()
  it("exports sorted and quoted, and is empty without variables", function()
    assert.equal("export A='b'; ", quote.env_prefix { A = "b" })
    assert.equal("export A='it'\\''s' B='5' _c1=''; ", quote.env_prefix { B = 5, A = "it's", _c1 = "" })
    assert.equal("", quote.env_prefix {})
    assert.equal("", quote.env_prefix(nil))
  end)

  it("refuses names that are no names and values that are no words", function()
    fails('env: "A-B" is no name for a variable', quote.env_prefix, { ["A-B"] = "x" })
    fails('env: "A=1; reboot" is no name', quote.env_prefix, { ["A=1; reboot"] = "x" })
    fails('env: "A\\n" is no name', quote.env_prefix, { ["A\n"] = "x" })
    fails('env: "" is no name', quote.env_prefix, { [""] = "x" })
    fails('env: "1A" is no name', quote.env_prefix, { ["1A"] = "x" })
    fails("env: a number as name", quote.env_prefix, { "A=b" })
    fails("env: A contains a NUL byte", quote.env_prefix, { A = "\0" })
    fails("env: A is a table", quote.env_prefix, { A = {} })
    fails("env: a table expected, got string", quote.env_prefix, "A=b")
  end)

  it("sets what it says", function()
    local value = "a 'b' \\ $x\n`c`"
    assert.equal(value, run("sh", quote.env_prefix { X = value } .. "printf '%s' \"$X\""))
  end)
end)
