# Large data is committed as .zst and unpacked by the build into ignored folders.
find_program(ZSTD_PROGRAM zstd REQUIRED)
set(EYESHOT_UNPACKED_DIR ${PROJECT_BINARY_DIR}/data)
file(GLOB_RECURSE packed CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${PROJECT_SOURCE_DIR}/tests/data/*.zst)
set(outputs "")
foreach(file IN LISTS packed)
  string(REGEX REPLACE "\\.zst$" "" plain "${file}")
  set(out ${EYESHOT_UNPACKED_DIR}/${plain})
  get_filename_component(dir ${out} DIRECTORY)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${dir}
    COMMAND ${ZSTD_PROGRAM} -d -q -f ${PROJECT_SOURCE_DIR}/${file} -o ${out}
    DEPENDS ${file} VERBATIM)
  list(APPEND outputs ${out})
endforeach()

# The built-in model is unpacked beside its configuration: a complete Hugging Face folder in the source tree.
set(weights ${PROJECT_SOURCE_DIR}/models/eyeshot-tiny/model.safetensors)
add_custom_command(OUTPUT ${weights}
  COMMAND ${ZSTD_PROGRAM} -d -q -f ${weights}.zst -o ${weights}
  DEPENDS ${weights}.zst VERBATIM)
add_custom_target(eyeshot_data ALL DEPENDS ${outputs} ${weights})
