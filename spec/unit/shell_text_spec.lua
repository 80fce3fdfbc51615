-- What terminals are sent, as text.
local text = require "sshlua.shell_text"

describe("a stripper", function()
  local sample = "\27[?2004hroot@h:~# \27[01;34mdir\27[0m\r\n\27]0;title\7x\27]2;t\27\\y\27(Bz\0\7\27[31m\27[Kgrün\27[3Dok\27[2K\27Mend\r\n"
  local expected = "root@h:~# dir\r\nxyz" .. text.ERASE .. "grün\b\b\bok\r" .. text.ERASE .. "end\r\n"

  it("takes control sequences out and keeps what moves within a line", function()
    assert.equal(expected, text.stripper()(sample))
  end)

  it("does so wherever the stream is cut", function()
    for cut = 1, #sample - 1 do
      local strip = text.stripper()
      assert.equal(expected, strip(sample:sub(1, cut)) .. strip(sample:sub(cut + 1)))
    end
    local strip, parts = text.stripper(), {}
    for c in sample:gmatch "." do parts[#parts + 1] = strip(c) end
    assert.equal(expected, table.concat(parts))
  end)

  it("holds back no more than a few KiB of a sequence without an end", function()
    local strip = text.stripper()
    local out = 0
    strip "\27]0;"
    for _ = 1, 100 do out = out + #strip(("x"):rep(1000)) end
    assert.is_true(out > 90000)
  end)
end)

describe("lines", function()
  it("look as they do in the end", function()
    assert.equal("100%", text.line "99%\r100%\r")
    assert.equal("abd", text.line "abc\bd")
    assert.equal("grüß", text.line "grüx\bß")
    assert.equal("new", text.line("longer text\r" .. text.ERASE .. "new"))
    assert.equal("a\nb\n", text.render "a\r\nb\r\r\n")
  end)

  it("are joined when they fill the terminal", function()
    assert.equal("ääcdef\n", text.render("ää\ncd\nef\n", 2))
    assert.equal("abc\nd\n", text.render("abc\nd\n", 4))
  end)

  it("have a last one", function()
    assert.same({ "sw1# ", 5 }, { text.last_line("abc\nsw1# ", 1024) })
    assert.same({ "", 5 }, { text.last_line("abc\n", 1024) })
    assert.same({ "", 1 }, { text.last_line("", 1024) })
    assert.same({ ("x"):rep(10), 91 }, { text.last_line(("x"):rep(100), 10) })
    local long = ("y"):rep(300)
    assert.same({ long, 3 }, { text.last_line("a\n" .. long, 1024) })
  end)
end)

describe("a learnt prompt", function()
  local function fits(learnt, later) return later:find(text.prompt_pattern(learnt)) ~= nil end

  it("keeps its name while mode and directory change", function()
    assert.is_true(fits("sw1> ", "sw1# "))
    assert.is_true(fits("sw1>", "sw1(config-if)#"))
    assert.is_true(fits("root@web1:~# ", "root@web1:/etc# "))
    assert.is_true(fits("[root@web1 ~]# ", "[root@web1 etc]# "))
    assert.is_true(fits("<HUAWEI>", "<HUAWEI>"))
    assert.is_true(fits(">>> ", ">>> "))
    assert.is_true(fits("$ ", "$ "))
  end)

  it("is nothing else", function()
    assert.is_false(fits("sw1>", "sw2>"))
    assert.is_false(fits("sw1>", "sw1> show version"))
    assert.is_false(fits("$ ", "costs 5 $"))
    assert.is_false(fits("root@web1:~# ", "root@web1 logged in"))
  end)
end)
