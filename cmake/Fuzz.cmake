# The libFuzzer targets of spec/fuzz, over the whole core, so that no target keeps a list of sources. Preset fuzz
# brings clang and the instrumentation; tools/fuzz builds and runs one.
file(GLOB fuzz_sources CONFIGURE_DEPENDS spec/fuzz/*_fuzz.c)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${name} PRIVATE sshlua_core lua_library)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/spec/fuzz")
  sshlua_warnings(${name})
endforeach()
