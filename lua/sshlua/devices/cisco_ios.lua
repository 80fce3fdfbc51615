--- Cisco IOS and IOS XE, from "Configuration Fundamentals" and "Configuration Rollback Confirmed Change" (the revert
--- timer wants an archive: "archive", "path flash:...").

return {
  prompt = "^[%w._/:~@()%-]+[>#]%s?$",
  pager = "%-%-More%-%-",
  prepare = { "terminal length 0", { "terminal width 511", may_fail = true } },
  errors = {
    { "^%% ?Invalid input detected", "INVALID" },
    { "^%% ?Incomplete command", "INCOMPLETE" },
    { "^%% ?Ambiguous command", "AMBIGUOUS" },
    { "^%% ?Unknown command", "INVALID" },
    { "^%% ?Unrecognized command", "INVALID" },
    { "^%% ?Bad [^\n]*", "INVALID" },
    { "^%% ?[^\n]*[Ii]nvalid[^\n]*", "INVALID" },
    { "^%% ?Authorization failed", "DENIED" },
    { "^Command authorization failed", "DENIED" },
    { "^Command rejected[^\n]*", "REFUSED" },
    { "^%% ?[^\n]*[Ff]ailed[^\n]*", "REFUSED" },
    { "^%% ?[^\n]*overlaps with[^\n]*", "REFUSED" },
    { "^%% ?Archive[^\n]*", "REFUSED" },
    { "^%%? ?Error[^\n]*", "REFUSED" },
  },
  enable = { command = "enable", password = "^[Pp]assword:%s?$", prompt = "#%s?$" },
  config = {
    enter = "configure terminal", prompt = "%(config[^)]*%)#%s?$", leave = "end",
    confirm = {
      unit = 60, min = 1, max = 120, enter = "configure terminal revert timer %d",
      keep = { "configure confirm" }, revert = { "configure revert now" },
    },
  },
  save = { "write memory" },
  answers = { ["Overwrite the previous NVRAM configuration%?%s?%[confirm%]%s?$"] = "\n" },
  legacy = {
    kex = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1",
    ciphers = "aes256-cbc,aes128-cbc,3des-cbc", macs = "hmac-sha1", rsa_sha1 = true,
  },
}
