--- ansible_ssh_common_args and its like: words for ssh's command line as connection options. What cannot be done here
--- is a problem when a connection without it would be another one (a jump host left out), else a notice.
--- Knows ssh(1)'s options; must not know inventories.

local connect = require("sshlua.connect")
local trim = require("sshlua.trim")

local M = {}

--- Words as sh would split them.
local function split(text)
  local list, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return list end
    local parts = {}
    while at <= #text and not text:find("^%s", at) do
      local quoted = text:match("^'([^']*)'", at)
      local double = not quoted and text:match('^"([^"]*)"', at)
      local plain = not quoted and not double and (text:match("^\\.", at) or text:match("^[^%s'\"\\]+", at))
      if not quoted and not double and not plain then return nil end
      parts[#parts + 1] = quoted or double or plain:gsub("^\\", "")
      at = at + (plain and #plain or #(quoted or double) + 2)
    end
    list[#list + 1] = table.concat(parts)
  end
end

local function yes_no(value)
  value = value:lower()
  if value == "yes" or value == "true" then return true end
  if value == "no" or value == "false" then return false end
  return nil, "yes or no expected"
end

local function seconds(value)
  local n = tonumber(value)
  if n and n >= 0 then return n end
  return nil, "seconds expected"
end

local function whole(value)
  local n = tonumber(value)
  if n and n >= 1 and n % 1 == 0 then return n end
  return nil, "a whole number expected"
end

local function text(value) return value end
local function words(value) return split(value) or { value } end

--- A list that replaces the default; those that change it (+, -, ^) are not known here.
local function algorithms(value)
  if value:find("^[+^-]") then return nil, "lists with " .. value:sub(1, 1) .. " are not supported" end
  return value
end

local function strictness(value)
  value = value:lower()
  return ({ ["true"] = "yes", ["false"] = "no" })[value] or value
end

local families = { inet = 4, inet6 = 6 }

--- Option of ssh_config in lower case -> our option and how its value is read.
local known = {
  user = { "user", text }, port = { "port", whole }, hostname = { "hostname", text },
  identityfile = { "identity", words }, certificatefile = { "certificate", text },
  identitiesonly = { "identities_only", yes_no }, stricthostkeychecking = { "strict_host_key_checking", strictness },
  userknownhostsfile = { "known_hosts", words }, hashknownhosts = { "hash_known_hosts", yes_no },
  hostkeyalias = { "host_key_alias", text }, serveraliveinterval = { "server_alive_interval", seconds },
  serveralivecountmax = { "server_alive_count_max", whole }, compression = { "compression", yes_no },
  bindaddress = { "bind", text }, batchmode = { "batch", yes_no }, connectionattempts = { "tries", whole },
  ciphers = { "ciphers", algorithms }, macs = { "macs", algorithms }, kexalgorithms = { "kex", algorithms },
  hostkeyalgorithms = { "host_key_algorithms", algorithms }, preferredauthentications = { "methods", text },
  connecttimeout = { "timeouts", function(value)
    local n, problem = seconds(value)
    return n and { connect = n }, problem
  end },
  addressfamily = { "family", function(value)
    if value:lower() == "any" then return nil end
    return families[value:lower()], not families[value:lower()] and "any, inet or inet6 expected" or nil
  end },
  passwordauthentication = { "methods", function(value)
    local on, problem = yes_no(value)
    return on == false and "publickey,keyboard-interactive" or nil, problem
  end },
  proxyjump = { "via", text }, proxycommand = { "proxy_command", text },
}

--- What is the same without them here: one connection is shared anyway, and nothing is forwarded.
local harmless = {
  controlmaster = true, controlpath = true, controlpersist = true, loglevel = true, forwardagent = "no",
  forwardx11 = "no", gssapiauthentication = true, tcpkeepalive = true, visualhostkey = true, checkhostip = true,
  requesttty = true, ipqos = true, pubkeyauthentication = "yes",
  kbdinteractiveauthentication = "yes", updatehostkeys = true, addkeystoagent = "no",
}

---@class sshlua.SshArgs
---@field options table connection options
---@field notices string[] what has no effect here
---@field problem? string what cannot be done

local function add_option(out, name, value)
  local key = name:lower()
  local entry = known[key]
  if entry and value:lower() == "none" and (key == "proxyjump" or key == "proxycommand") then return end
  if entry and connect.options[entry[1]] then
    local converted, problem = entry[2](value)
    if problem then
      out.problem = out.problem or ("%s %s: %s"):format(name, value, problem)
    elseif out.options[entry[1]] == nil then -- the first value wins, as for ssh
      out.options[entry[1]] = converted
    end
    return
  end
  local wanted = harmless[key]
  if wanted == true or type(wanted) == "string" and wanted == value:lower() then
    if key == "gssapiauthentication" and value:lower() == "yes" then
      out.notices[#out.notices + 1] = name .. " is not supported"
    end
    return
  end
  out.problem = out.problem or ("the ssh option %s is not supported"):format(name)
end

local letters = {
  p = "Port", l = "User", i = "IdentityFile", J = "ProxyJump", b = "BindAddress", c = "Ciphers", m = "MACs",
}
local flags = {
  ["4"] = { "AddressFamily", "inet" }, ["6"] = { "AddressFamily", "inet6" }, C = { "Compression", "yes" },
  a = { "ForwardAgent", "no" }, x = { "ForwardX11", "no" }, q = { "LogLevel", "quiet" }, v = { "LogLevel", "debug" },
  T = { "RequestTTY", "no" },
}

--- The options that the text asks for.
---@param line string
---@return sshlua.SshArgs
function M.parse(line)
  local out = { options = {}, notices = {} }
  local list = split(line)
  if not list then
    out.problem = "unclosed quote"
    return out
  end
  local i = 1
  while list[i] do
    local word = list[i]
    i = i + 1
    local letter, value = word:match("^%-(.)(.*)$")
    if not letter or letter == "-" then
      out.problem = out.problem or ("\"%s\" is no option of ssh"):format(word)
    elseif letter == "o" or letters[letter] then
      if value == "" then
        value = list[i]
        i = i + 1
      end
      local name, rest = letters[letter], value
      if value and not name then name, rest = value:match("^%s*(%w+)%s*[=%s](.*)$") end
      rest = rest and trim(rest)
      if not rest or not name then
        out.problem = out.problem or ("-%s has no value"):format(letter)
      else
        add_option(out, name, rest)
      end
    else
      for at = 2, #word do
        local flag = flags[word:sub(at, at)]
        if flag then
          add_option(out, flag[1], flag[2])
        else
          out.problem = out.problem or ("the ssh option -%s is not supported"):format(word:sub(at, at))
        end
      end
    end
  end
  return out
end

return M
