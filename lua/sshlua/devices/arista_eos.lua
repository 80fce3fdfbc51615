--- Arista EOS, from the User Manual ("Command-Line Interface", "Configure Session"). Lines go into a session: they take
--- effect together or not at all.

return {
  prompt = "^[%w._/:~@()%-]+[>#]%s?$",
  pager = "%-%-More%-%-",
  prepare = { "terminal length 0", { "terminal width 32767", may_fail = true } },
  errors = {
    { "^%% ?Invalid [^\n]*", "INVALID" },
    { "^%% ?Incomplete command[^\n]*", "INCOMPLETE" },
    { "^%% ?Ambiguous command[^\n]*", "AMBIGUOUS" },
    { "^%% ?[^\n]*[Pp]ermission denied[^\n]*", "DENIED" },
    { "^%% ?Authorization denied[^\n]*", "DENIED" },
    { "^%% ?[^\n]*not supported[^\n]*", "REFUSED" },
    { "^%% ?[^\n]*pendingCommitTimer[^\n]*", "LOCKED" },
    { "^%% ?[^\n]*[Cc]annot [^\n]*", "REFUSED" },
    { "^%% ?Error[^\n]*", "REFUSED" },
  },
  enable = { command = "enable", password = "^[Pp]assword:%s?$", prompt = "#%s?$" },
  config = {
    enter = "configure session {session}", prompt = "%(config[^)]*%)#%s?$",
    diff = "show session-config diffs", commit = "commit", abort = "abort",
    confirm = {
      unit = 1, min = 1, max = 86399,
      commit = function(seconds)
        local hours, minutes = math.floor(seconds / 3600), math.floor(seconds / 60) % 60
        return ("commit timer %02d:%02d:%02d"):format(hours, minutes, seconds % 60)
      end,
      keep = { "configure session {session} commit" }, revert = { "configure session {session} abort" },
    },
  },
  save = { "write memory" },
  legacy = {
    kex = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1", macs = "hmac-sha1", rsa_sha1 = true,
  },
}
