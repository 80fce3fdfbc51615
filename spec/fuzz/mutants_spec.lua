-- Every parser of ours in Lua against text that is nearly right: an Error of the right kind or a value, soon, and with
-- nothing kept. SSHLUA_LONG=1 gives each a million texts; SSHLUA_MUTANTS and SSHLUA_SEED say how many and which.
local files = require "spec.support.files"
local grammars = require "spec.support.grammars"
local mutator = require "spec.support.mutator"
local run = require "spec.support.run"

local long = os.getenv "SSHLUA_LONG"
local seed = tonumber(os.getenv "SSHLUA_SEED") or 20261121
local rounds = tonumber(os.getenv "SSHLUA_MUTANTS") or long and 1000000 or 20000
local only = os.getenv "SSHLUA_GRAMMAR"

local function body(grammar, fn, seconds) return grammar.outside_tasks and fn or run.body(fn, seconds) end

describe("text that is nearly right", function()
  after_each(files.remove)

  for _, grammar in ipairs(grammars) do
    if not only or grammar.name:find(only, 1, true) then
      it("is read or refused in order: " .. grammar.name, body(grammar, function()
        files.directory(true) -- a million files
        local seen = mutator.drive(grammar, { seed = seed, rounds = rounds, seconds = rounds <= 20000 and 2 or nil })
        if long then
          io.stderr:write(("# %s: %d texts of seed %d, %d refused, %.0f s, the slowest %.0f ms\n"):format(
            grammar.name, seen.rounds, seed, seen.refused, seen.seconds, seen.slowest * 1000))
        end
      end, 7200))

      it("begins with samples that are read: " .. grammar.name, body(grammar, function()
        files.directory(true)
        for _, text in ipairs(grammar.samples or {}) do grammar.read(text, mutator.random(seed)) end
      end))

      it("is read in bounded time when long: " .. grammar.name, body(grammar, function()
        files.directory(true)
        mutator.stretch(grammar, seed)
      end, 600))
    end
  end
end)
