--- Juniper Junos OS, from the "CLI User Guide" (commit confirmed counts minutes). Lines go into the candidate
--- configuration, which nobody else edits meanwhile: they take effect together or not at all.

return {
  prompt = {
    "^[%w._%-]+@[%w._%-]+[>#]%s?$",
    "^[%w._%-]+@[%w._%-]*%%%s?$", "^[%w._%-]+@[%w._%-]*:[^\n]*[#%%$]%s?$", "^%%%s?$", -- the Unix shell of root
  },
  pager = "%-%-%-%(more[^)\n]*%)%-%-%-",
  -- In the Unix shell: what starts the CLI.
  outside = {
    prompt = { "^[%w._%-]+@[%w._%-]*%%%s?$", "^[%w._%-]+@[%w._%-]*:[^\n]*[#%%$]%s?$", "^%%%s?$" }, command = "cli",
  },
  prepare = {
    { "set cli complete-on-space off", may_fail = true }, "set cli screen-length 0", "set cli screen-width 0",
  },
  -- What stands above a prompt and belongs to it: "[edit interfaces]", "{master:0}".
  trailer = { "\n*%[edit[^%]\n]*%]\n?$", "\n*{[%w:%-]+}%s*$" },
  errors = {
    { "^%s*syntax error[^\n]*", "INVALID" },
    { "^%s*unknown command[^\n]*", "INVALID" },
    { "^%s*invalid [^\n]*", "INVALID" },
    { "^%s*missing argument[^\n]*", "INCOMPLETE" },
    { "^%s*'[^'\n]*' is ambiguous[^\n]*", "AMBIGUOUS" },
    { "^error: permission denied[^\n]*", "DENIED" },
    { "^error: configuration database locked[^\n]*", "LOCKED" },
    { "^error: commit failed[^\n]*", "COMMIT" },
    { "^error: configuration check%-out failed[^\n]*", "COMMIT" },
    { "^error:[^\n]*", "REFUSED" },
  },
  config = {
    enter = "configure exclusive", prompt = "#%s?$", leave = "exit configuration-mode",
    diff = "show | compare", commit = "commit", abort = "rollback 0",
    confirm = {
      unit = 60, min = 1, max = 65535, commit = "commit confirmed %d",
      keep = { "configure", "commit", "exit configuration-mode" },
      revert = { "configure", "rollback 1", "commit", "exit configuration-mode" },
    },
  },
  answers = { ["Exit with uncommitted changes%? %[yes,no%] %(yes%)%s?$"] = "yes\n" },
  legacy = {
    kex = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1", macs = "hmac-sha1", rsa_sha1 = true,
  },
}
