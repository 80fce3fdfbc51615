-- Templates: what the tags mean, and errors that name the line.
local run = require "spec.support.run"
local ssh = require "sshlua"
local template = require "sshlua.template"

local function render(text, ...) return template.render(template.compile(text, "a.tpl"), { ... }) end

local function fails(text, ...)
  local args = { ... }
  return run.fails("config", function() render(text, (table.unpack or unpack)(args)) end) -- luacheck: ignore 143
end

describe("a template", function()
  it("writes values, runs statements, and leaves all other text alone", function()
    assert.equal("", render "")
    assert.equal("port=80\n", render("port=<%= port %>\n", { port = 80 }))
    assert.equal("${HOME} $host \\ %d\r\n\0", render "${HOME} $host \\ %d\r\n\0")
    assert.equal("<% %>", render "<%% %>")
    assert.equal("1.5 true <b>", render("<%= 1.5 %> <%= on %> <%- raw %>", { on = true, raw = "<b>" }))
    assert.equal("a\n1 x\n2 y\nb\n",
      render("a\n<% for i, v in ipairs(list) do -%>\n<%= i %> <%= v %>\n<% end -%>  \nb\n", { list = { "x", "y" } }))
    assert.equal("x=5", render "<% local x = 5 %>x=<%= x %>")
    assert.equal("'a b' [1]", render "<%= quote('a b') %> <%= json({ 1 }) %>")
  end)

  it("takes a name from the first table that has it, and false counts", function()
    assert.equal("1 2 false", render("<%= a %> <%= b %> <%= c %>", { a = 1, c = false }, { a = 3, b = 2, c = true }))
    assert.equal("no", render("<% if vars.tls then %>yes<% else %>no<% end %>"))
  end)

  it("names the line of what is wrong", function()
    local err = fails("a\nb <%= nope %>\n", {})
    assert.matches("^a.tpl:2: undefined variable 'nope'$", err.message)
    assert.matches("vars.nope", err.hint)
    assert.matches("^a.tpl:3: the value is nil", fails("\n<% local t = {}\n%><%= t.x %>", {}).message)
    assert.matches("^a.tpl:4: .*then", fails("\n\n<% if true then -%>\n<% if x the %>", {}).message)
    assert.matches("^a.tpl:2: <%% without", fails("\n<% if x ", {}).message)
    assert.matches("^a.tpl:1: .*table", fails("<%= t %>", { t = {} }).message)
    assert.matches("^a.tpl:2: stop$", fails("\n<% error('stop') %>").message)
    assert.matches("^a.tpl:1: undefined variable 'os'$", fails("<%= os.time() %>").message)
  end)

  it("may hold a secret", function()
    local password = ssh.secret("template spec", { command = "echo 53cr3t" })
    run.run(10, function() assert.equal("pw=53cr3t", render("pw=<%= pw %>", { pw = password })) end)
  end)
end)
