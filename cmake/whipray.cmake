# What every folder's CMakeLists.txt uses: one function each for a library, a program, and a test program.

# wr_library(name source...): a static library, position independent (it may end in the Python extension).
function(wr_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC whipray_options)
endfunction()

# wr_program(name source...): a daemon or tool; with tcmalloc unless a sanitizer is on.
function(wr_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE whipray_options)
  if(NOT WHIPRAY_SANITIZE AND TCMALLOC_LIBRARY)
    target_link_libraries(${name} PRIVATE -Wl,--no-as-needed ${TCMALLOC_LIBRARY} -Wl,--as-needed)
  endif()
endfunction()

# wr_test(name SOURCES file... LIBS library... [TIMEOUT seconds] [LABELS label...]): a GoogleTest program; each of its tests is one
# test of CTest. C files among the sources are compiled as C.
function(wr_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE whipray_options ${arg_LIBS} GTest::gtest GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# wr_check_symbols(library LIBS other... ALLOW list...): a test that the static library needs nothing but what the lists in
# tools/symbols allow and what the other libraries define. Targets that are not built here are passed over.
function(wr_check_symbols library)
  cmake_parse_arguments(arg "" "" "LIBS;ALLOW" ${ARGN})
  if(NOT TARGET ${library})
    return()
  endif()
  set(words --library $<TARGET_FILE:${library}>)
  foreach(other IN LISTS arg_LIBS)
    list(APPEND words --with $<TARGET_FILE:${other}>)
  endforeach()
  foreach(list_name IN LISTS arg_ALLOW)
    list(APPEND words --allow ${CMAKE_SOURCE_DIR}/tools/symbols/${list_name}.txt)
  endforeach()
  add_test(NAME symbols.${library} COMMAND python3 ${CMAKE_SOURCE_DIR}/tools/check_symbols.py ${words})
endfunction()
