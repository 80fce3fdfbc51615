--- What put, get and sync can be told beside what all commands for many hosts are told: a table as that of
--- cli/fleet_options.lua. Knows words; must not know what is done with them.

local errors = require("sshlua.errors")
local fleet_options = require("sshlua.cli.fleet_options")

local misuse, one_of = fleet_options.misuse, fleet_options.one_of

--- Kinds of values --------------------------------------------------------------------------------------------------

local function shown(text) return errors.excerpt(text, 60) end

local function octal(text, name)
  if text:find("^[0-7]?[0-7][0-7][0-7]$") then return text end
  misuse("%s: octal digits expected, got \"%s\"", name, shown(text))
end

local units = { [""] = 1, k = 1024, m = 1024 * 1024, g = 1024 * 1024 * 1024 }

local function bytes(text, name)
  local digits, unit = text:match("^(%d+%.?%d*)([kKmMgG]?)$")
  local n = digits and math.floor(tonumber(digits) * units[unit:lower()])
  if not n or n < 1 or n > 1e15 then misuse("%s: bytes expected (500K, 10M), got \"%s\"", name, shown(text)) end
  return n
end

--- The options ------------------------------------------------------------------------------------------------------

---@type sshlua.cli.FleetOption[]
local list = {
  { group = "get", names = { "--flat" }, field = "flat", text = "to TO itself: for one host" },
  {
    group = "sync", names = { "--delete" }, into = "transfer", field = "delete",
    text = "remove from the hosts what FROM has not, except for what is excluded",
  },
  {
    group = "sync", names = { "--pull" }, into = "transfer", field = "pull",
    text = "the other way round: TO/HOST here, or what {host} in TO makes, like FROM",
  },

  {
    group = "copy", names = { "--mode" }, into = "transfer", field = "mode", arg = "OCTAL", kind = octal,
    text = "permissions of files; default: the originals'",
  },
  {
    group = "copy", names = { "--dir-mode" }, into = "transfer", field = "dir_mode", arg = "OCTAL", kind = octal,
    text = "of directories",
  },
  { group = "copy", names = { "--times" }, into = "transfer", field = "times", text = "keep modification times" },
  {
    group = "copy", names = { "--setuid" }, into = "transfer", field = "setuid",
    text = "keep setuid, setgid and sticky bits",
  },
  {
    group = "copy", names = { "--links" }, into = "transfer", field = "links", arg = "HOW",
    kind = one_of("skip", "copy", "follow"), text = "symbolic links in trees: skip, copy, follow",
  },
  {
    group = "copy", names = { "--unsafe-links" }, into = "transfer", field = "unsafe_links",
    text = "also those that lead out of the tree",
  },
  {
    group = "copy", names = { "--resume" }, into = "transfer", field = "resume",
    text = "keep an unfinished part; go on with one that is there",
  },
  {
    group = "copy", names = { "--verify" }, into = "transfer", field = "verify", value = "sha256",
    text = "compare SHA-256 before the copy gets its name",
  },
  {
    group = "copy", names = { "--skip" }, into = "transfer", field = "skip", arg = "HOW",
    kind = one_of("time", "digest"), text = "leave what is the same by size and time, or by digest",
  },
  {
    group = "copy", names = { "--exclude" }, into = "transfer", field = "exclude", list = true, arg = "PATTERN",
    text = "leave these names out; may be repeated",
  },
  {
    group = "copy", names = { "--dry-run" }, into = "transfer", field = "dry_run", text = "only say what would be done",
  },
  {
    group = "copy", names = { "--check" }, field = "check",
    text = "the same; exit status 5 when something would be",
  },
  { group = "copy", names = { "--fsync" }, into = "transfer", field = "fsync", text = "wait for the disk, always" },
  { group = "copy", names = { "--no-fsync" }, into = "transfer", field = "fsync", value = false, text = "never" },
  {
    group = "copy", names = { "--no-sparse" }, into = "transfer", field = "sparse", value = false,
    text = "write the holes of sparse files out",
  },
  {
    group = "copy", names = { "--parents" }, into = "transfer", field = "parents",
    text = "make the directories above TO",
  },
  {
    group = "copy", names = { "--files" }, into = "transfer", field = "files", arg = "N", kind = "count",
    text = "files at once of one host; default 64 small and 4 large ones",
  },
  {
    group = "copy", names = { "--limit-rate" }, into = "transfer", field = "limit", arg = "BYTES", kind = bytes,
    text = "a second and host: 500K, 10M",
  },
  {
    group = "copy", names = { "--stop" }, into = "transfer", field = "keep_going", value = false,
    text = "the first file that fails ends that host's copy",
  },
  {
    group = "copy", names = { "--diff" }, field = "diff",
    text = "print also what arrived and what was deleted",
  },
  { group = "copy", names = { "--json" }, field = "json", text = "one JSON object to a line and host" },
  { group = "copy", names = { "-q" }, field = "quiet", text = "print only what failed" },
  {
    group = "copy", names = { "--no-progress" }, into = "transfer", field = "progress", value = false,
    text = "no bar on the terminal",
  },
}

local recursive = "directories are copied with what is in them"
local archive = "sync keeps modes, times and links; put and get have --times and --links copy"

--- What fingers that know scp and rsync type, and what it is here.
local elsewhere = {
  ["-r"] = recursive, ["-R"] = recursive, ["--recursive"] = recursive, ["-a"] = archive, ["--archive"] = archive,
  ["-n"] = "--dry-run", ["-z"] = "-C compresses", ["--compress"] = "-C compresses", ["--bwlimit"] = "--limit-rate 500K",
  ["-P"] = "a port is -p PORT, and --resume keeps an unfinished part", ["--partial"] = "--resume",
  ["--checksum"] = "--skip digest", ["--copy-links"] = "--links follow", ["-L"] = "--links follow", ["-t"] = "--times",
  ["--perms"] = "modes are kept", ["--mkpath"] = "--parents", ["--progress"] = "a terminal has a bar without it",
  ["--include"] = "there is only --exclude",
}

return { list = list, elsewhere = elsewhere }
