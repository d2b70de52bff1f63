# eyeshot_room(NAME <room> [PROGRAM_ONLY] [ROOMS <room>...] [LIBS <target>...] SOURCES <file>... [TESTS <file>...]
#              [LABELS <label>...])
#
# A room is an object library `eyeshot_<room>`; ROOMS are the rooms that it may use, LIBS its third-party
# libraries. All rooms but the command line and those that are PROGRAM_ONLY end up in the libraries `eyeshot` and
# `eyeshot_shared`.
# TESTS build one gtest binary `<room>_test`, each of whose cases is a CTest test with the room's name as a label.
# LABELS are further labels of these tests: `isa` (run again under every instruction set), `tsan` (run under
# the thread sanitizer), `slow` (left out under sanitizers and emulation).
set_property(GLOBAL PROPERTY EYESHOT_ROOMS "")
set_property(GLOBAL PROPERTY EYESHOT_LIBS "")
set_property(GLOBAL PROPERTY EYESHOT_PROGRAM_ROOMS "")
# Of what is compiled often and takes no time where it runs: it compiles in two thirds of the time.
set(EYESHOT_QUICK_TO_COMPILE $<$<CONFIG:Release>:-O1>)


function(eyeshot_room)
  cmake_parse_arguments(ROOM "PROGRAM_ONLY" "NAME" "ROOMS;LIBS;SOURCES;TESTS;LABELS" ${ARGN})
  set(target eyeshot_${ROOM_NAME})
  add_library(${target} OBJECT ${ROOM_SOURCES})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} PRIVATE eyeshot_options PUBLIC fmt::fmt Threads::Threads ${ROOM_LIBS})
  foreach(room IN LISTS ROOM_ROOMS)
    target_link_libraries(${target} PUBLIC eyeshot_${room})
  endforeach()
  if(ROOM_PROGRAM_ONLY)
    target_compile_options(${target} PRIVATE ${EYESHOT_QUICK_TO_COMPILE})
    set_property(GLOBAL APPEND PROPERTY EYESHOT_PROGRAM_ROOMS ${target})
  else()
    set_property(GLOBAL APPEND PROPERTY EYESHOT_ROOMS ${target})
    set_property(GLOBAL APPEND PROPERTY EYESHOT_LIBS ${ROOM_LIBS})
  endif()
  if(EYESHOT_TESTS AND ROOM_TESTS)
    eyeshot_test(NAME ${ROOM_NAME}_test ROOMS ${ROOM_NAME} ${ROOM_ROOMS} SOURCES ${ROOM_TESTS}
                 LABELS ${ROOM_NAME} ${ROOM_LABELS})
  endif()
endfunction()

# eyeshot_test(NAME <binary> ROOMS <room>... SOURCES <file>... [LABELS <label>...] [TIMEOUT <s>]
#              [FIXTURE <name>])
# Object libraries do not pass their objects on, so every room that a test reaches is collected here.
function(eyeshot_test)
  cmake_parse_arguments(TEST "" "NAME;TIMEOUT;FIXTURE" "ROOMS;SOURCES;LABELS;LIBS" ${ARGN})
  add_executable(${TEST_NAME} ${TEST_SOURCES})
  target_compile_options(${TEST_NAME} PRIVATE ${EYESHOT_QUICK_TO_COMPILE})
  eyeshot_link_rooms(${TEST_NAME} ${TEST_ROOMS})
  target_link_libraries(${TEST_NAME} PRIVATE eyeshot_options GTest::gtest_main ${TEST_LIBS})
  target_compile_definitions(${TEST_NAME} PRIVATE
    EYESHOT_SOURCE_DIR="${PROJECT_SOURCE_DIR}" EYESHOT_UNPACKED_DIR="${EYESHOT_UNPACKED_DIR}")
  add_dependencies(${TEST_NAME} eyeshot_data)
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  set(fixture "")
  if(TEST_FIXTURE)
    set(fixture FIXTURES_REQUIRED ${TEST_FIXTURE})
  endif()
  gtest_discover_tests(${TEST_NAME} DISCOVERY_MODE PRE_TEST WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${TEST_TIMEOUT} ${fixture})
  if(TEST_LABELS)
    # In a file of its own, read after discovery: gtest_discover_tests cannot pass on a list of several labels.
    set(labels ${CMAKE_CURRENT_BINARY_DIR}/${TEST_NAME}_labels.cmake)
    file(WRITE ${labels}
      "if(${TEST_NAME}_TESTS)\n"
      "  set_tests_properties(\${${TEST_NAME}_TESTS} PROPERTIES LABELS \"${TEST_LABELS}\")\n"
      "endif()\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${labels})
  endif()
endfunction()

function(eyeshot_link_rooms target)
  set(pending ${ARGN})
  set(seen "")
  while(pending)
    list(POP_FRONT pending room)
    string(REGEX REPLACE "^eyeshot_" "" room "${room}")
    if(NOT room IN_LIST seen)
      list(APPEND seen ${room})
      target_link_libraries(${target} PRIVATE eyeshot_${room})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:eyeshot_${room}>)
      get_target_property(libs eyeshot_${room} LINK_LIBRARIES)
      foreach(lib IN LISTS libs)
        if(lib MATCHES "^eyeshot_" AND NOT lib STREQUAL "eyeshot_options")
          list(APPEND pending ${lib})
        endif()
      endforeach()
    endif()
  endwhile()
endfunction()
