# The Lua files inside the program as compiled chunks, when liblua goes into the program as well: a chunk fits the very
# Lua that compiled it. Otherwise, and when this machine cannot run what it builds, the program carries the text.
# Defines sshlua_compile_lua(TARGET).
function(sshlua_compile_lua target)
  if(CMAKE_CROSSCOMPILING OR NOT SSHLUA_LUA_LINKAGE STREQUAL "static")
    target_link_libraries(${target} PRIVATE sshlua_embedded)
    return()
  endif()
  add_executable(compile_lua "${CMAKE_SOURCE_DIR}/cmake/compile_lua.c"
    "${CMAKE_SOURCE_DIR}/cmake/forget_names.c")
  target_include_directories(compile_lua PRIVATE "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(compile_lua PRIVATE sshlua_embedded lua_library)
  sshlua_warnings(compile_lua)
  set(output "${CMAKE_BINARY_DIR}/compiled_lua.c")
  add_custom_command(OUTPUT "${output}" COMMAND compile_lua "${output}" DEPENDS compile_lua
    COMMENT "Compiling Lua sources" VERBATIM)
  add_library(sshlua_compiled OBJECT "${output}") # apart from our own files: no warnings, no clang-tidy
  target_include_directories(sshlua_compiled PRIVATE "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(${target} PRIVATE sshlua_compiled)
  target_compile_definitions(${target} PRIVATE SL_COMPILED_LUA=1)
endfunction()
