--- A POSIX shell at a terminal. Its prompt is learnt, and each command is asked for its exit status.

return {
  pager = "^:%s?$",
  prepare = {
    { "export PAGER=cat SYSTEMD_PAGER=cat GIT_PAGER=cat MANPAGER=cat", may_fail = true },
    { "stty cols 511", may_fail = true },
  },
  status = { command = "echo $?", pattern = "^(%d+)$" },
  enable = {
    command = "sudo -k -p '{nonce}' -s", password = "^{nonce}$", prompt = "[#]%s?$", learn = true,
  },
  config = { prompt = "[#$%%>]%s?$" },
}
