--- MikroTik RouterOS, from its manual ("Command Line Interface", "Console login process"). Each line takes effect at
--- once and stays; Safe Mode (^X) undoes what was done in it when its connection goes. No timer runs on the device.

return {
  prompt = "^%[[^%]\n]+@[^%]\n]*%][^\n]*>%s?$",
  -- No colours, no questions to the terminal, a wide one: options of the login name.
  login_suffix = "+cet512w8192h",
  newline = "\r",
  pager = { ["%-%- %[Q quit|[^\n]*"] = "d" },
  errors = {
    { "^bad command name[^\n]*", "INVALID" },
    { "^syntax error[^\n]*", "INVALID" },
    { "^expected [^\n]*", "INVALID" },
    { "^input does not match[^\n]*", "INVALID" },
    { "^invalid value[^\n]*", "INVALID" },
    { "^value of [^\n]*", "INVALID" },
    { "^ambiguous value[^\n]*", "AMBIGUOUS" },
    { "^not enough permissions[^\n]*", "DENIED" },
    { "^no such item[^\n]*", "REFUSED" },
    { "^failure:[^\n]*", "REFUSED" },
    { "^error:[^\n]*", "REFUSED" },
  },
  config = {
    prompt = ">%s?$",
    confirm = {
      enter_key = "\24", prompt = "<SAFE>%s?$", stays = true, keep_key = "\24", revert_key = "\4",
      answers = { ["Hijacking Safe Mode[^\n]*%[u/r/d%]:%s?$"] = "d" },
    },
  },
  legacy = {
    kex = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1", ciphers = "aes256-cbc,aes128-cbc",
    macs = "hmac-sha1", rsa_sha1 = true,
  },
}
