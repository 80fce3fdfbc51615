# libssh2, as target sshlua_libssh2.
#   SSHLUA_LIBSSH2=source (default)  a 1.11 tree built here: static, hidden, with our ciphers and packet hook
#   SSHLUA_LIBSSH2=system            the system's shared library, without them
# The tree is SSHLUA_LIBSSH2_SOURCE, or what tools/libssh2-source brings; one without the fixes below is refused.
set(SSHLUA_LIBSSH2 source CACHE STRING "source or system")
set(SSHLUA_LIBSSH2_SOURCE "" CACHE PATH "A libssh2 1.11 source tree (empty: tools/libssh2-source brings one)")
option(SSHLUA_ALLOW_UNFIXED_LIBSSH2 "Accept a libssh2 tree without evidence of the 2026 security fixes" OFF)
set(sshlua_libssh2_cves CVE-2026-55200 CVE-2026-55199)
include(CheckLinkerFlag)
add_library(sshlua_libssh2 INTERFACE)

# Sets libssh2_dir, and libssh2_version to its plain version, "1.11.1".
macro(sshlua_find_libssh2_tree)
  set(libssh2_dir "${SSHLUA_LIBSSH2_SOURCE}")
  if(NOT libssh2_dir)
    set(libssh2_dir "${CMAKE_SOURCE_DIR}/build-deps/libssh2")
    execute_process(COMMAND "${CMAKE_SOURCE_DIR}/tools/libssh2-source" "${libssh2_dir}" RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "No libssh2 source tree. Give one with -DSSHLUA_LIBSSH2_SOURCE=DIR, "
        "or use the system's 1.11 or newer with -DSSHLUA_LIBSSH2=system.")
    endif()
  endif()
  if(NOT EXISTS "${libssh2_dir}/src/libssh2_priv.h")
    message(FATAL_ERROR "${libssh2_dir} is not a libssh2 source tree (no src/libssh2_priv.h)")
  endif()
  file(STRINGS "${libssh2_dir}/include/libssh2.h" line REGEX "#define LIBSSH2_VERSION[ \t]+\"")
  string(REGEX REPLACE ".*\"([^\"]+)\".*" "\\1" libssh2_version "${line}")
endmacro()

# Sets libssh2_described, the text for --version. Refuses what is too old or not known to be fixed.
macro(sshlua_judge_libssh2_tree)
  set(libssh2_described "${libssh2_version}")
  set(fixed FALSE)
  if(libssh2_version VERSION_LESS 1.11.0)
    message(FATAL_ERROR "libssh2 in ${libssh2_dir} is ${libssh2_version}; sshlua needs 1.11")
  endif()
  if(EXISTS "${libssh2_dir}/debian/changelog")
    file(READ "${libssh2_dir}/debian/changelog" changelog)
    string(REGEX MATCH "^libssh2 \\(([^)]+)\\)" _ "${changelog}")
    set(libssh2_described "${CMAKE_MATCH_1}")
    set(fixed TRUE)
    foreach(cve IN LISTS sshlua_libssh2_cves)
      string(FIND "${changelog}" "${cve}" at)
      if(at EQUAL -1)
        set(fixed FALSE)
      endif()
    endforeach()
  endif()
  # A development tree says the next version long before it has the next version's fixes.
  if(NOT libssh2_version MATCHES "DEV" AND libssh2_version VERSION_GREATER 1.11.1)
    set(fixed TRUE)
  endif()
  if(fixed)
    string(APPEND libssh2_described " (CVE-2026-55199 and -55200 fixed)")
  elseif(SSHLUA_ALLOW_UNFIXED_LIBSSH2)
    string(APPEND libssh2_described " (NOT known to have CVE-2026-55199 and -55200 fixed)")
    message(WARNING "libssh2 ${libssh2_version} in ${libssh2_dir}: nothing shows that CVE-2026-55199 and "
      "CVE-2026-55200 are fixed. You allowed it.")
  else()
    message(FATAL_ERROR "libssh2 ${libssh2_version} in ${libssh2_dir}: nothing shows that CVE-2026-55199 and "
      "CVE-2026-55200 are fixed (a debian/changelog that names both, or a release after 1.11.1). Take a fixed tree, "
      "or accept the risk with -DSSHLUA_ALLOW_UNFIXED_LIBSSH2=ON.")
  endif()
endmacro()

# Its own CMakeLists.txt knows how to probe the platform; the function keeps our answers to its options out of
# the cache. Traces are compiled in (they cost a test of a mask each): -vvv shows them.
function(sshlua_build_libssh2)
  foreach(policy 0077 0126)
    set(CMAKE_POLICY_DEFAULT_CMP${policy} NEW)
  endforeach()
  set(BUILD_STATIC_LIBS ON)
  foreach(off BUILD_SHARED_LIBS BUILD_EXAMPLES BUILD_TESTING PICKY_COMPILER ENABLE_WERROR)
    set(${off} OFF)
  endforeach()
  set(CRYPTO_BACKEND OpenSSL)
  set(ENABLE_ZLIB_COMPRESSION ON)
  set(ENABLE_DEBUG_LOGGING ON)
  set(CMAKE_EXPORT_NO_PACKAGE_REGISTRY ON)
  set(CMAKE_EXPORT_COMPILE_COMMANDS OFF)
  set(CMAKE_WARN_DEPRECATED OFF)
  set(CMAKE_MESSAGE_LOG_LEVEL WARNING)
  set(level -O2)
  if(SSHLUA_SANITIZE)
    set(level -O1)
  endif()
  string(TOUPPER "${CMAKE_BUILD_TYPE}" config)
  set(CMAKE_C_FLAGS_${config} "${level} -g")
  add_subdirectory("${libssh2_dir}" "${CMAKE_BINARY_DIR}/libssh2" EXCLUDE_FROM_ALL)
endfunction()

if(SSHLUA_LIBSSH2 STREQUAL "source")
  sshlua_find_libssh2_tree()
  sshlua_judge_libssh2_tree()
  sshlua_build_libssh2()
  # Our engine reads private headers: the same definitions as libssh2's own files, or the structs differ.
  target_include_directories(sshlua_libssh2 SYSTEM INTERFACE
    "${libssh2_dir}/include" "${libssh2_dir}/src" "${CMAKE_BINARY_DIR}/libssh2/src")
  target_compile_definitions(sshlua_libssh2 INTERFACE
    $<TARGET_PROPERTY:libssh2_static,COMPILE_DEFINITIONS>
    SL_LIBSSH2_STATIC=1 SL_LIBSSH2_SOURCE_VERSION="${libssh2_described}")
  target_link_libraries(sshlua_libssh2 INTERFACE libssh2_static)
  check_linker_flag(C "-Wl,--wrap=sshlua_probe" SSHLUA_LD_WRAP)
  # The wraps need libssh2's calls to reach the linker: libssh2 must stay out of link-time optimization. Our own
  # files may have it (-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON does just that: libssh2's CMake policy ignores it).
  if(SSHLUA_LD_WRAP)
    target_compile_definitions(sshlua_libssh2 INTERFACE SL_PACKET_HOOK=1)
    set(SSHLUA_WRAPS -Wl,--wrap=_libssh2_packet_add -Wl,--wrap=_libssh2_ecdh_gen_k
      -Wl,--wrap=libssh2_hostkey_methods
      -Wl,--wrap=_libssh2_curve25519_new -Wl,--wrap=_libssh2_curve25519_gen_k)
    if(SSHLUA_FAST_CIPHERS)
      target_compile_definitions(sshlua_libssh2 INTERFACE SL_FAST_CIPHERS=1)
      list(APPEND SSHLUA_WRAPS -Wl,--wrap=libssh2_crypt_methods
        -Wl,--wrap=_libssh2_transport_read -Wl,--wrap=_libssh2_transport_send)
    endif()
    target_link_options(sshlua_libssh2 INTERFACE ${SSHLUA_WRAPS})
  endif()
  message(STATUS "libssh2: ${libssh2_described}, static, from ${libssh2_dir}")
elseif(SSHLUA_LIBSSH2 STREQUAL "system")
  pkg_check_modules(LIBSSH2 IMPORTED_TARGET libssh2>=1.11)
  if(NOT LIBSSH2_FOUND)
    message(FATAL_ERROR "SSHLUA_LIBSSH2=system needs libssh2 1.11 or newer where pkg-config finds it")
  endif()
  target_link_libraries(sshlua_libssh2 INTERFACE PkgConfig::LIBSSH2)
  message(STATUS "libssh2: the system's ${LIBSSH2_VERSION}, without our ciphers and packet hook")
else()
  message(FATAL_ERROR "SSHLUA_LIBSSH2 is source or system, not ${SSHLUA_LIBSSH2}")
endif()
