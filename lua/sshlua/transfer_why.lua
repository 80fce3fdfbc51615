--- Version 3 of SFTP has one word, "failure", for a full disk, a disk that cannot be written to and much else: asks the
--- host's file system what it can be, and puts that into the error's hint.

local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")

local M = {}

local SECONDS, QUESTIONS = 5, 8 -- of a job: when thousands fail, they fail for the same reason
local LITTLE = 65536

local function hint_of(fs)
  if fs.flag % 2 == 1 then return "the file system there is read-only" end
  if fs.favail == 0 and fs.files > 0 then return "the file system there has no room for another file" end
  if fs.bavail * fs.frsize < LITTLE then return "the file system there is full" end
end

--- Gives the hint, if there is something to say, to an error of a call for `path`. What the failed copy has written
--- should be there still.
---@param job sshlua.TransferJob
---@param err any
---@param path string
function M.ask(job, err, path)
  local sftp = job.sftp
  if not errors.is(err, "sftp") or err.name ~= "SSH_FX_FAILURE" then return end
  if not sftp.offers["statvfs@openssh.com"] or not sftp:is_alive() then return end
  job.questions = (job.questions or 0) + 1
  if job.questions > QUESTIONS then
    err.hint = rawget(err, "hint") or job.why
    return
  end
  local ok, fs = pcall(scope.timeout, SECONDS, sftp.statvfs, sftp, path:match("^(.*/)[^/]*/*$") or ".")
  local hint = ok and hint_of(fs)
  if hint then err.hint, job.why = hint, hint end
end

return M
