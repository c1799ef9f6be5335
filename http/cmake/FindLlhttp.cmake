# Finds llhttp and sets Llhttp_TARGET to the target to link with. In this order:
#   1. an installed CMake package,
#   2. pkg-config's libllhttp,
#   3. its C sources, as Debian's node-llhttp ships them, built here in strict mode.
# An installed library is taken only when it is strict: before version 9 that is decided when
# llhttp itself is compiled, the default is loose, and a loose parser lets request smuggling
# through. TREADLE_LLHTTP_SOURCE_DIR and TREADLE_LLHTTP_INCLUDE_DIR point at sources elsewhere.
set(TREADLE_LLHTTP_SOURCE_DIR /usr/share/llhttp CACHE PATH "api.c, http.c and llhttp.c")
set(TREADLE_LLHTTP_INCLUDE_DIR /usr/share/include/llhttp CACHE PATH "llhttp.h of those sources")
mark_as_advanced(TREADLE_LLHTTP_SOURCE_DIR TREADLE_LLHTTP_INCLUDE_DIR)

# What the installed package needs to find the same llhttp again.
set(TREADLE_LLHTTP_FIND_DEPENDENCY "")
set(TREADLE_LLHTTP_PC_REQUIRES "")
set(TREADLE_LLHTTP_PC_LIBS "")

# Takes `target` as Llhttp_TARGET when it proves strict. Looks again at each configure, since another
# library may stand there by now.
macro(treadle_try_llhttp target origin)
  unset(TREADLE_LLHTTP_RUNS CACHE)
  unset(TREADLE_LLHTTP_COMPILES CACHE)
  if(NOT CMAKE_CROSSCOMPILING)
    try_run(TREADLE_LLHTTP_RUNS TREADLE_LLHTTP_COMPILES
      ${CMAKE_CURRENT_BINARY_DIR}/llhttp_is_strict
      ${CMAKE_CURRENT_LIST_DIR}/llhttp_is_strict.c
      LINK_LIBRARIES ${target})
  endif()
  if(TREADLE_LLHTTP_COMPILES AND TREADLE_LLHTTP_RUNS EQUAL 0)
    set(Llhttp_TARGET ${target})
    message(STATUS "llhttp: ${target} (${origin})")
  else()
    message(STATUS
      "llhttp: passing over ${target} (${origin}), which is not strict or cannot be run here")
  endif()
endmacro()

set(Llhttp_TARGET "")
find_package(llhttp CONFIG QUIET)
foreach(candidate llhttp::llhttp_static llhttp::llhttp_shared llhttp::llhttp)
  if(NOT Llhttp_TARGET AND TARGET ${candidate})
    treadle_try_llhttp(${candidate} "installed CMake package")
    if(Llhttp_TARGET)
      set(TREADLE_LLHTTP_FIND_DEPENDENCY "find_dependency(llhttp CONFIG)")
      set(TREADLE_LLHTTP_PC_LIBS -lllhttp)
    endif()
  endif()
endforeach()

if(NOT Llhttp_TARGET AND PKG_CONFIG_FOUND)
  pkg_check_modules(TREADLE_PKG_LLHTTP QUIET IMPORTED_TARGET libllhttp)
  if(TREADLE_PKG_LLHTTP_FOUND)
    treadle_try_llhttp(PkgConfig::TREADLE_PKG_LLHTTP "pkg-config")
    if(Llhttp_TARGET)
      string(CONCAT TREADLE_LLHTTP_FIND_DEPENDENCY
             "find_dependency(PkgConfig)\n"
             "pkg_check_modules(TREADLE_PKG_LLHTTP QUIET REQUIRED IMPORTED_TARGET libllhttp)")
      set(TREADLE_LLHTTP_PC_REQUIRES ", libllhttp")
    endif()
  endif()
endif()

if(NOT Llhttp_TARGET)
  foreach(file ${TREADLE_LLHTTP_SOURCE_DIR}/api.c ${TREADLE_LLHTTP_SOURCE_DIR}/http.c
               ${TREADLE_LLHTTP_SOURCE_DIR}/llhttp.c ${TREADLE_LLHTTP_INCLUDE_DIR}/llhttp.h)
    if(NOT EXISTS ${file})
      message(FATAL_ERROR
        "treadle needs llhttp: there is no strict installed library (CMake package llhttp or "
        "pkg-config libllhttp), and no source ${file}. On Debian: apt-get install node-llhttp")
    endif()
  endforeach()
  # Strict mode changes both the tables and their callers: all files get it, or none of it works.
  add_library(treadle_llhttp STATIC
    ${TREADLE_LLHTTP_SOURCE_DIR}/api.c
    ${TREADLE_LLHTTP_SOURCE_DIR}/http.c
    ${TREADLE_LLHTTP_SOURCE_DIR}/llhttp.c)
  target_compile_definitions(treadle_llhttp PUBLIC $<BUILD_INTERFACE:LLHTTP_STRICT_MODE=1>)
  target_include_directories(treadle_llhttp SYSTEM
    PUBLIC $<BUILD_INTERFACE:${TREADLE_LLHTTP_INCLUDE_DIR}>)
  target_compile_options(treadle_llhttp PRIVATE -w)
  set_target_properties(treadle_llhttp PROPERTIES EXPORT_NAME llhttp)
  if(TREADLE_INSTALL)
    install(TARGETS treadle_llhttp EXPORT treadle ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
  set(Llhttp_TARGET treadle_llhttp)
  set(TREADLE_LLHTTP_PC_LIBS -ltreadle_llhttp)
  message(STATUS "llhttp: built from ${TREADLE_LLHTTP_SOURCE_DIR}")
endif()
set(Llhttp_FOUND TRUE)
