-- The manual page: every option of the help texts is in it, and mandoc has nothing to say.
local described = require "sshlua.cli.described"
local program = require "spec.support.program"
local run = require "spec.support.run"

describe("sshlua(1)", function()
  it("has every option, and is proper mdoc", run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local page = program.run({ "tools/manpage.lua" })
    assert.same({ 0, "" }, { page.code, page.err })
    local text = page.out:gsub("\\%-", "-")
    local count = 0
    for _, command in ipairs { "", "run", "put", "get", "sync", "hosts", "demo", "keys" } do
      local help = program.run({ "help", command ~= "" and command or nil }).out
      for _, option in ipairs(described.options(help)) do
        for _, name in ipairs(option.names) do
          count = count + 1
          local macro = name:sub(1, 2) == "--" and "Fl Fl " .. name:sub(3) or "Fl " .. name:sub(2)
          assert.truthy(name == "--" or text:find(macro, 1, true) or text:find("\n  " .. name, 1, true), name)
        end
      end
    end
    assert.is_true(count > 150)
    for _, section in ipairs { "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES" } do
      assert.truthy(text:find("\n.Sh " .. section .. "\n", 1, true), section)
    end
    if not os.execute "command -v mandoc >/dev/null" then run.skip "there is no mandoc" end
    local lint = program.start({}, { shell = "mandoc -Tlint -W warning", stdin = page.out }):finish()
    assert.same({ 0, "" }, { lint.code, lint.out })
  end))
end)
