--- The protocol of scp: lines that announce files and directories, bytes that answer them. Knows what a line may say
--- and when a side has to answer; must not know files, options, or where anything goes.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

local LINE_MAX = 8192
local SIZE_MAX = 2 ^ 53

local function protocol(host, text)
  local message = "the server's scp broke the protocol: " .. text
  errors.raise({ kind = "protocol", name = "SCP", host = host, message = message })
end

local function shown(line) return errors.excerpt(line, 60) end

--- A name that may be one component of a path.
---@param name string
---@return boolean
function M.is_name(name) return name ~= "" and name ~= "." and name ~= ".." and not name:find("[/%z\n]") end

---@class sshlua.ScpLine
---@field what "file"|"directory"|"end"|"times"
---@field mode? integer
---@field size? integer
---@field name? string
---@field mtime? integer

--- What a line announces; nil and why it is none.
---@param line string without the newline
---@return sshlua.ScpLine?, string?
function M.parse(line)
  local kind = line:sub(1, 1)
  if line == "E" then return { what = "end" } end
  if kind == "T" then
    local mtime, micro, atime, micro2 = line:match("^T(%d+) (%d+) (%d+) (%d+)$")
    if not mtime or #mtime > 10 or #atime > 10 or #micro > 6 or #micro2 > 6 then return nil, "times that are none" end
    return { what = "times", mtime = tonumber(mtime) }
  end
  local mode, size, name = line:match("^[CD]([0-7][0-7][0-7][0-7]) (%d+) (.+)$")
  if not mode then return nil, "a line that is none" end
  if #size > 16 or tonumber(size) > SIZE_MAX then return nil, "a size out of range" end
  if not M.is_name(name) then return nil, "a name that leads elsewhere" end
  return { what = kind == "C" and "file" or "directory", mode = tonumber(mode, 8), size = tonumber(size), name = name }
end

---@class sshlua.ScpWire
local Wire = {}
Wire.__index = Wire

--- On a process that runs scp with -t or -f.
---@param process sshlua.Process
---@param host string
---@return sshlua.ScpWire
function M.new(process, host) return setmetatable({ process = process, host = host }, Wire) end

--- The program ended where it should not have: what it said, and how.
function Wire:ended()
  local r = self.process:wait()
  local said = r.stderr:match("([^\r\n]+)[\r\n]*$")
  local missing = r.code == 127 or r.code == 126
  errors.raise({ kind = "exit", name = "SCP", code = r.code, host = self.host,
    message = missing and "the server has no SFTP, and its scp cannot be run: " .. core.clean(said or "no such command")
      or "scp on the server ended early" .. (said and ": " .. core.clean(said) or ""),
    hint = missing and "install openssh-sftp-server or scp on the server" or nil })
end

--- The next line; nil at the end of all.
---@return string?
function Wire:line()
  local line, mark = self.process.stdout:read_until("\n", LINE_MAX)
  if line and not mark and line ~= "" then protocol(self.host, "a line that is cut short") end
  return mark and line or nil
end

--- A complaint of the other side as an error; `fatal`: it has given up.
---@return sshlua.Error, boolean fatal
function Wire:complaint(code, text, path)
  text = core.clean((text:gsub("^scp: ", "")))
  return errors.new({ kind = "io", name = "SCP", host = self.host, path = path, message = text }), code == 2
end

--- The answer to what we sent: nil, or a complaint, which is raised when it is fatal.
---@param path? string
---@return sshlua.Error?
function Wire:answer(path)
  local byte = self.process.stdout:read(1)
  if not byte then self:ended() end
  if byte == "\0" then return nil end
  if byte ~= "\1" and byte ~= "\2" then protocol(self.host, "an answer that is none: " .. shown(byte)) end
  local err, fatal = self:complaint(byte:byte(), self:line() or "", path)
  if fatal then error(err, 0) end
  return err
end

--- Writes; false: the program has ended, and what it said before is still to be read.
local function try_write(self, bytes)
  local ok, err = pcall(self.process.stdin.write, self.process.stdin, bytes)
  if not ok and not errors.is(err, "channel") then error(err, 0) end
  return ok
end

--- Says yes.
function Wire:accept() try_write(self, "\0") end

--- Says no: the other side leaves the entry out.
function Wire:refuse(why) try_write(self, "\1scp: " .. why:gsub("%c", "?"):sub(1, 200) .. "\n") end

--- The next announcement, nil at the end; or nil, a complaint.
---@return sshlua.ScpLine?, sshlua.Error?
function Wire:announcement(path)
  local line = self:line()
  if not line then return nil end
  local code = line:byte(1)
  if code == 1 or code == 2 then
    local err, fatal = self:complaint(code, line:sub(2), path)
    if fatal then error(err, 0) end
    return nil, err
  end
  local said, why = M.parse(line)
  if not said then protocol(self.host, ("%s: %s"):format(why, shown(line))) end
  return said
end

--- At most n bytes of a file, raises when there are none.
function Wire:bytes(n)
  local bytes = self.process.stdout:read(n)
  if not bytes then self:ended() end
  return bytes
end

--- Sends an announcement or bytes of a file; raises what the program says when it has ended.
function Wire:write(bytes)
  if try_write(self, bytes) then return end
  local err = self:answer()
  if err then error(err, 0) end
  self:ended()
end

--- Raises: what the server announced was not asked for.
function Wire:unwanted(said)
  protocol(self.host, ("%s that nobody asked for: %s"):format(said.what, shown(said.name or "")))
end

--- Ends it; raises when the program failed without having said why.
function Wire:finish()
  self.process.stdin:close_write()
  return self.process:wait()
end

return M
