# The libraries `eyeshot` (static) and `eyeshot_shared`, made of the objects of all rooms, and `cmake --install`:
# headers, both libraries, the program, the built-in model, a CMake package and a pkg-config file.
if(EYESHOT_FUZZ)
  return()
endif()
include(CMakePackageConfigHelpers)

get_property(rooms GLOBAL PROPERTY EYESHOT_ROOMS)
get_property(libs GLOBAL PROPERTY EYESHOT_LIBS)
list(REMOVE_DUPLICATES libs)
# giflib has neither a CMake target nor a pkg-config file; its path on this machine must not reach the package.
list(TRANSFORM libs REPLACE "^${GIF_LIBRARY}$" "gif")

add_library(eyeshot STATIC)
add_library(eyeshot_shared SHARED)
set_target_properties(eyeshot PROPERTIES EXPORT_NAME eyeshot)
set_target_properties(eyeshot_shared PROPERTIES EXPORT_NAME shared OUTPUT_NAME eyeshot
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
foreach(library IN ITEMS eyeshot eyeshot_shared)
  foreach(room IN LISTS rooms)
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:${room}>)
  endforeach()
  set_target_properties(${library} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${library} INTERFACE cxx_std_20)
  target_link_libraries(${library} PRIVATE fmt::fmt Threads::Threads ${libs})
endforeach()
add_library(eyeshot::eyeshot ALIAS eyeshot)
add_library(eyeshot::shared ALIAS eyeshot_shared)

# What a program that links the static library needs as well: pkg-config modules by their names in
# cmake/EyeshotDependencies.cmake.
set(EYESHOT_PC_REQUIRES fmt)
set(EYESHOT_PC_LIBS -lstdc++ -lm -pthread)
set(EYESHOT_CONFIG_MODULES "")
foreach(lib IN LISTS libs)
  if(lib MATCHES "^PkgConfig::(.+)$")
    set(prefix ${CMAKE_MATCH_1})
    list(APPEND EYESHOT_PC_REQUIRES ${${prefix}_MODULE_NAME})
    string(APPEND EYESHOT_CONFIG_MODULES
      "  pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${${prefix}_MODULE_NAME})\n")
  elseif(NOT lib MATCHES "::|^\\$<|^-")
    list(APPEND EYESHOT_PC_LIBS -l${lib})
  endif()
endforeach()
list(JOIN EYESHOT_PC_REQUIRES ", " EYESHOT_PC_REQUIRES)
list(JOIN EYESHOT_PC_LIBS " " EYESHOT_PC_LIBS)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/eyeshot)
configure_package_config_file(cmake/eyeshotConfig.cmake.in ${PROJECT_BINARY_DIR}/eyeshotConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/eyeshotConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS eyeshot eyeshot_shared EXPORT eyeshotTargets)
install(EXPORT eyeshotTargets NAMESPACE eyeshot:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/eyeshotConfig.cmake ${PROJECT_BINARY_DIR}/eyeshotConfigVersion.cmake
  DESTINATION ${package_dir})
install(DIRECTORY include/eyeshot DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models/eyeshot-tiny DESTINATION ${CMAKE_INSTALL_DATADIR}/eyeshot/models
  FILES_MATCHING PATTERN "*.json" PATTERN "*.jinja" PATTERN "*.safetensors" PATTERN "README.md"
  PATTERN "eval-dev" EXCLUDE PATTERN "golden" EXCLUDE PATTERN "recipe" EXCLUDE)
install(DIRECTORY data/machines data/measured DESTINATION ${CMAKE_INSTALL_DATADIR}/eyeshot FILES_MATCHING PATTERN "*.json")
install(DIRECTORY data/plan DESTINATION ${CMAKE_INSTALL_DATADIR}/eyeshot FILES_MATCHING PATTERN "*.json")
if(TARGET eyeshot_program)
  install(TARGETS eyeshot_program)
  install(PROGRAMS scripts/reference_dump.py DESTINATION ${CMAKE_INSTALL_DATADIR}/eyeshot)
endif()

# The prefix is known only at install time (`cmake --install --prefix`); pkg-config finds it from the file's place.
file(RELATIVE_PATH EYESHOT_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" EYESHOT_PC_PREFIX ${EYESHOT_PC_PREFIX})
configure_file(cmake/eyeshot.pc.in ${PROJECT_BINARY_DIR}/eyeshot.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/eyeshot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
