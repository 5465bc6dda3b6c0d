# SPDX-License-Identifier: Apache-2.0
# Every test of the project, found by its place:
#   tests/unit/test_*.c   one ctest per TEST(name) at the start of a line
#   tests/cli/*/cmd       one golden case each (tests/cli/run.sh)
#   tests/py/test_*.py    one unittest file each
#   fuzz/fuzz_*.c         its corpus, replayed
#   headers, layers, exported symbols, the one-line build
# Whatever mentions SC_FIXTURES (C) or FIXTURES (scripts) gets the generated models first.
find_program(PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(PYTHON3 python3 REQUIRED)
set(fixtures ${CMAKE_BINARY_DIR}/fixtures)
set(testdata ${CMAKE_SOURCE_DIR}/tests/data)
set(test_environment
  "SCRUPLE=$<TARGET_FILE:scruple>" "SCRUPLE_LIB=$<TARGET_FILE:scruple_shared>"
  "SCRUPLE_SANITIZE=${SCRUPLE_SANITIZE}" "SOURCE=${CMAKE_SOURCE_DIR}"
  "FIXTURES=${fixtures}" "TESTDATA=${testdata}" "PYTHON3=${PYTHON3}"
  # No test may leave this machine or see its user's caches; those of the Hub set what they need.
  "HF_HUB_OFFLINE=1" "HF_HOME=${CMAKE_BINARY_DIR}/no-home" "SCRUPLE_CACHE=${CMAKE_BINARY_DIR}/no-cache"
  # A sanitizer's report must not look like an exit code of ours.
  "ASAN_OPTIONS=exitcode=99" "TSAN_OPTIONS=exitcode=99"
  "UBSAN_OPTIONS=exitcode=99:print_stacktrace=1")

# scruple_test(NAME COMMAND...): the common properties; fixtures if `file` mentions them.
function(scruple_test file name)
  add_test(NAME ${name} COMMAND ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${test_environment}")
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} uses REGEX "FIXTURES" LIMIT_COUNT 1)
  if(uses)
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED models)
  endif()
endfunction()

# ----------------------------------------------------------------------------- model fixtures
# A build target, so that they are made again only when their maker changed.
file(GLOB mkmodel CONFIGURE_DEPENDS tools/mkmodel tools/mkmodel_lib/*)
list(FILTER mkmodel EXCLUDE REGEX "__pycache__")
add_custom_command(OUTPUT fixtures.stamp DEPENDS ${mkmodel} VERBATIM
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${fixtures}
  COMMAND ${PYTHON3} -B ${CMAKE_SOURCE_DIR}/tools/mkmodel --all ${fixtures}
  COMMAND ${CMAKE_COMMAND} -E touch fixtures.stamp)
add_custom_target(fixtures DEPENDS fixtures.stamp)
add_test(NAME fixtures COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target fixtures)
set_tests_properties(fixtures PROPERTIES FIXTURES_SETUP models TIMEOUT 600)

# --------------------------------------------------------------------------------- unit tests
# A test that includes oom.h can make allocations fail: its references to malloc are redirected.
set(oom_wrap)
foreach(symbol malloc calloc realloc aligned_alloc posix_memalign strdup strndup realpath opendir
        fdopendir)
  list(APPEND oom_wrap -Wl,--wrap=${symbol})
endforeach()
file(GLOB unit_sources CONFIGURE_DEPENDS tests/unit/test_*.c)
foreach(file IN LISTS unit_sources)
  get_filename_component(name ${file} NAME_WE)
  add_executable(${name} ${file})
  target_link_libraries(${name} PRIVATE scruple_obj)
  target_include_directories(${name} PRIVATE tests)
  target_compile_definitions(${name} PRIVATE
    SC_FIXTURES="${fixtures}" SC_TESTDATA="${testdata}" SC_PROGRAM="$<TARGET_FILE:scruple>")
  file(STRINGS ${file} cli REGEX "^#include \"cli/")
  if(cli)
    target_link_libraries(${name} PRIVATE scruple_cli)
  endif()
  file(STRINGS ${file} oom REGEX "^#include \"oom.h\"")
  if(oom)
    target_sources(${name} PRIVATE tests/oom.c)
    target_link_options(${name} PRIVATE ${oom_wrap})
  endif()
  file(STRINGS ${file} lines REGEX "^TEST\\(")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^TEST\\(([A-Za-z0-9_]+)\\).*" "\\1" id "${line}")
    scruple_test(${file} ${name}.${id} ${name} ${id})
  endforeach()
endforeach()

# ------------------------------------------------------------------- golden cases and scripts
file(GLOB cases CONFIGURE_DEPENDS tests/cli/*/cmd)
foreach(file IN LISTS cases)
  get_filename_component(folder ${file} DIRECTORY)
  get_filename_component(name ${folder} NAME)
  scruple_test(${file} cli.${name} ${CMAKE_SOURCE_DIR}/tests/cli/run.sh ${folder})
endforeach()
file(GLOB scripts CONFIGURE_DEPENDS tests/py/test_*.py)
foreach(file IN LISTS scripts)
  get_filename_component(name ${file} NAME_WE)
  scruple_test(${file} py.${name} ${PYTHON3} -B ${file})
endforeach()
set_tests_properties(py.test_viewer py.test_viewer_panels py.test_view_export py.test_view_server
  py.test_super_viewer
  PROPERTIES TIMEOUT 900) # browsers that draw without a graphics card
foreach(file IN LISTS fuzz_sources)
  get_filename_component(name ${file} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${name})
  add_executable(replay_${name} ${file} fuzz/replay.c)
  target_link_libraries(replay_${name} PRIVATE scruple_obj)
  scruple_test(${file} replay.${name} replay_${name} ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name})
endforeach()

# ------------------------------------------------------------------- the shape of the project
# Each header compiles alone. It is included by nothing, so what it needs it must include.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS include/*.h src/*.h tests/*.h)
foreach(file IN LISTS headers)
  file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${file})
  add_test(NAME header.${name} COMMAND ${CMAKE_C_COMPILER} -std=c11 -D_POSIX_C_SOURCE=200809L
    -Wall -Wextra -Wno-unused-function -Werror -fsyntax-only
    -I${CMAKE_SOURCE_DIR}/include -I${CMAKE_SOURCE_DIR}/src -I${CMAKE_SOURCE_DIR}/tests
    ${LIBRARIES_CFLAGS} -include ${file} -x c /dev/null)
endforeach()
add_test(NAME project.layers COMMAND sh ${CMAKE_SOURCE_DIR}/tools/lint-layers.sh
         ${CMAKE_SOURCE_DIR})
add_test(NAME project.exports COMMAND sh ${CMAKE_SOURCE_DIR}/tools/lint-exports.sh
         $<TARGET_FILE:scruple_shared> ${CMAKE_SOURCE_DIR}/include/scruple.h)
add_test(NAME project.demo WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
         COMMAND sh tools/demo.sh $<TARGET_FILE:scruple> ${CMAKE_BINARY_DIR}/demo)
if(SCRUPLE_SANITIZE STREQUAL "none" AND NOT SCRUPLE_FUZZ)
  add_test(NAME project.one_line_build COMMAND sh ${CMAKE_SOURCE_DIR}/tests/one_line_build.sh
           ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/one_line ${CMAKE_C_COMPILER} ${libraries})
  add_test(NAME project.install COMMAND sh ${CMAKE_SOURCE_DIR}/tests/install.sh
           ${CMAKE_BINARY_DIR} ${CMAKE_BINARY_DIR}/stage ${CMAKE_C_COMPILER} ${libraries})
  set_tests_properties(project.one_line_build project.install PROPERTIES TIMEOUT 600)
endif()
