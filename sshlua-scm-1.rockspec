rockspec_format = "3.0"
package = "sshlua"
version = "scm-1"
source = {
  url = "git+file://.",
}
description = {
  summary = "Scriptable SSH automation: hosts, commands, files and tunnels from Lua, on one event loop",
  detailed = [[
    A program and a Lua C module on libssh2 and libuv. Playbooks read like blocking scripts; hundreds of hosts are
    worked on at once. Host keys are verified strictly by default.
    Needs CMake, pkg-config, libuv, OpenSSL, zlib and jansson; libssh2 is built in. For LuaJIT use `cmake --install`.]],
  license = "MIT",
}
supported_platforms = { "unix" }
dependencies = {
  "lua >= 5.4, < 5.5",
}
build = {
  type = "command",
  build_command = "cmake -S . -B build-rock -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSSHLUA_LUAJIT=OFF -DSSHLUA_TESTS=OFF"
    .. " -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DCMAKE_INSTALL_BINDIR=$(BINDIR)"
    .. " -DSSHLUA_INSTALL_LMOD=$(LUADIR) -DSSHLUA_INSTALL_CMOD=$(LIBDIR)"
    .. " && cmake --build build-rock --parallel 2",
  install_command = "cmake --install build-rock --component module && cmake --install build-rock --component program",
}
