--- For specs of modules that need only the text functions of sshlua.core: the real core where it can be
--- loaded, else a stand-in whose `clean` knows ASCII alone. `json` says whether JSON can be tested.

local found, core = pcall(require, "sshlua.core")
if not found then
  core = { mask = function(s) return s end, is_secret = function() return false end }
  function core.clean(s, options)
    options = options or {}
    return (s:gsub("[%c\128-\255]", function(c)
      if c == "\n" then return options.newline and c or "\\n" end
      if c == "\t" then return options.tab and c or "\\t" end
      if c == "\r" then return "\\r" end
      return ("\\x%02x"):format(c:byte())
    end))
  end
  package.preload["sshlua.core"] = function() return core end
end

return { core = core, real = found, json = found and core.json_decode("1") == 1 }
