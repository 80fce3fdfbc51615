--- Cisco NX-OS, from the Nexus 9000 "System Management Configuration Guide" (two-stage configuration commit: 10.1 and
--- later) and "Fundamentals". After a trial commit it stays in the mode: only there "commit" keeps it.

return {
  prompt = "^[%w._/:~@()%-]+[>#]%s?$",
  pager = "%-%-More%-%-",
  prepare = { "terminal length 0", { "terminal width 511", may_fail = true } },
  errors = {
    { "^%% ?Invalid [^\n]*", "INVALID" },
    { "^%% ?Incomplete command[^\n]*", "INCOMPLETE" },
    { "^%% ?Ambiguous command[^\n]*", "AMBIGUOUS" },
    { "^%% ?Permission denied[^\n]*", "DENIED" },
    { "^Syntax error while parsing[^\n]*", "INVALID" },
    { "^commit verification failed[^\n]*", "COMMIT" },
    { "^Failed%. err=[^\n]*", "COMMIT" },
    { "^ERROR:[^\n]*", "REFUSED" },
    { "^Error:[^\n]*", "REFUSED" },
  },
  enable = { command = "enable", password = "^[Pp]assword:%s?$", prompt = "#%s?$" },
  config = {
    enter = "configure terminal", prompt = "%(config[^)]*%)#%s?$", leave = "end",
    confirm = {
      unit = 1, min = 30, max = 65535, enter = "configure dual-stage", diff = "show configuration",
      commit = "commit confirmed %d", abort = "abort", stays = true, keep = { "commit", "end" },
    },
  },
  save = { "copy running-config startup-config" },
  legacy = {
    kex = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1",
    ciphers = "aes256-cbc,aes128-cbc,3des-cbc", macs = "hmac-sha1", rsa_sha1 = true,
  },
}
