--- Which variables of an inventory are connection settings: ansible_* names and the table ssh. Everything else is data.
--- What would make another connection than the inventory means is an error with file:line.

local connect = require("sshlua.connect")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local model = require("sshlua.inventory.model")
local options = require("sshlua.options")
local ssh_args = require("sshlua.inventory.ssh_args")

local M = {}

local fail = model.fail

local function as_text(value)
  if type(value) == "string" then return value end
  if type(value) == "number" then return ("%.14g"):format(value) end
  return nil, "text expected"
end

local function as_port(value)
  local n = tonumber(value)
  if n and n >= 1 and n <= 65535 and n % 1 == 0 then return n end
  return nil, "a port expected (1 to 65535)"
end

local function as_seconds(value)
  local n = tonumber(value)
  if n and n > 0 then return n end
  return nil, "seconds expected"
end

local function as_tries(value)
  local n = tonumber(value)
  if n and n >= 0 and n % 1 == 0 then return n + 1 end
  return nil, "a whole number expected"
end

local function as_path(value)
  local text, problem = as_text(value)
  return text and { text }, problem
end

--- In the order in which they count: the first that is there wins.
local settings = {
  { "ansible_ssh_host", "hostname", as_text }, { "ansible_host", "hostname", as_text },
  { "ansible_ssh_port", "port", as_port }, { "ansible_port", "port", as_port },
  { "ansible_ssh_user", "user", as_text }, { "ansible_user", "user", as_text },
  { "ansible_ssh_private_key_file", "identity", as_path }, { "ansible_private_key_file", "identity", as_path },
  { "ansible_ssh_private_key", "identity_data", as_text },
  { "ansible_ssh_private_key_passphrase", "passphrase", as_text },
  { "ansible_ssh_password", "password", as_text }, { "ansible_ssh_pass", "password", as_text },
  { "ansible_password", "password", as_text },
  { "ansible_ssh_timeout", "timeout", as_seconds }, { "ansible_timeout", "timeout", as_seconds },
  { "ansible_ssh_retries", "tries", as_tries },
}

local secret = {
  ansible_ssh_private_key = true, ansible_ssh_private_key_passphrase = true, ansible_ssh_password = true,
  ansible_ssh_pass = true, ansible_password = true, ansible_become_password = true, ansible_become_pass = true,
}

local arguments = { "ansible_ssh_extra_args", "ansible_ssh_common_args", "ansible_ssh_args" }

local over_ssh = { ssh = true, smart = true, paramiko = true, paramiko_ssh = true, libssh = true }

local not_here = {
  "ansible_become", "ansible_become_user", "ansible_become_method", "ansible_become_password", "ansible_become_pass",
  "ansible_ssh_pipelining", "ansible_shell_type", "ansible_shell_executable", "ansible_ssh_executable",
  "ansible_sftp_extra_args", "ansible_scp_extra_args", "ansible_ssh_transfer_method",
}

local function is_false(value)
  return value == false or type(value) == "string" and value:lower():find("^[fn]") ~= nil
end

--- Templates are Ansible's own language: a host name made of braces must not be connected to.
local function check_template(name, value, where)
  if type(value) == "string" and (value:find("{{", 1, true) or value:find("{%", 1, true)) then
    fail(where, "%s is a template, and templates are not evaluated", name)
  end
end

local function check_connection(vars, origins)
  local how = vars.ansible_connection
  if how ~= nil and how ~= core.json_null then
    local short = type(how) == "string" and how:gsub("^ansible%.%w+%.", "") or tostring(how)
    if not over_ssh[short] then
      fail(origins.ansible_connection, "ansible_connection \"%s\" is not supported; ssh is", errors.excerpt(short, 40))
    end
  end
  for _, name in ipairs({ "ansible_host_key_checking", "ansible_ssh_host_key_checking" }) do
    if vars[name] ~= nil and is_false(vars[name]) then
      fail(origins[name], "%s: checking is not switched off here; put the keys into known_hosts, or say "
        .. "-o StrictHostKeyChecking=no in ansible_ssh_common_args", name)
    end
  end
end

local function take_arguments(out, vars, origins, notices)
  for _, name in ipairs(arguments) do
    local value = vars[name]
    if value ~= nil and value ~= core.json_null then
      check_template(name, value, origins[name])
      local args = ssh_args.parse(as_text(value) or "")
      if args.problem then fail(origins[name], "%s: %s", name, errors.excerpt(args.problem, 120)) end
      for _, text in ipairs(args.notices) do
        notices[#notices + 1] = ("%s: %s: %s"):format(origins[name], name, text)
      end
      for option, wanted in pairs(args.options) do
        if out[option] == nil then out[option] = wanted end
      end
    end
  end
end

--- The table ssh = { option = value }: our own names, checked as everywhere.
local function take_own(out, own, origins)
  for name, value in pairs(own) do
    local ok, err = pcall(options.check, { [name] = value }, connect.options, 1)
    if not ok then fail(origins[name], "ssh: %s", (err.message:gsub("^[^\n]-:%d+: ", ""))) end
    check_template(name, value, origins[name])
    out[name] = value
  end
end

local function collect(m, host)
  local vars, origins, own, own_origins = {}, {}, {}, {}
  m:layers(host, function(layer, where)
    for name, value in pairs(layer) do
      if name == "ssh" and type(value) == "table" then
        for k, v in pairs(value) do own[k], own_origins[k] = v, where[name] end
      else
        vars[name], origins[name] = value, where[name]
      end
    end
  end)
  return vars, origins, own, own_origins
end

--- What scripts see: no nulls, and no secrets that are settings of the connection.
local function data_of(vars)
  local data = {}
  for name, value in pairs(vars) do
    if value ~= core.json_null and not secret[name] then data[name] = value end
  end
  return data
end

--- A host's variables, its connection options, and notices about what has no effect. `ssh_name` among the options: the
--- name that Ansible would hand to ssh, and by which ssh_config therefore knows the host.
---@param m sshlua.InventoryModel
---@param host table of the model
---@return table vars, table options, string[] notices
function M.of(m, host)
  local vars, origins, own, own_origins = collect(m, host)
  local out, notices = {}, {}
  check_connection(vars, origins)
  for _, setting in ipairs(settings) do
    local name, option, convert = setting[1], setting[2], setting[3]
    local value = vars[name]
    if value ~= nil and value ~= core.json_null and out[option] == nil then
      check_template(name, value, origins[name])
      local converted, problem = convert(value)
      if problem then fail(origins[name], "%s: %s", name, problem) end
      out[option] = converted
    end
  end
  out.ssh_name = out.hostname
  take_arguments(out, vars, origins, notices)
  take_own(out, own, own_origins)
  if own.hostname ~= nil then out.ssh_name = nil end
  for _, name in ipairs(not_here) do
    if vars[name] ~= nil and not is_false(vars[name]) then
      notices[#notices + 1] = ("%s: %s has no effect here"):format(origins[name], name)
    end
  end
  return data_of(vars), out, notices
end

--- Variables alone: they can be looked at whatever the settings say.
---@return table vars
function M.vars(m, host) return data_of((collect(m, host))) end

return M
