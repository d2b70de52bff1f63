# Large data is committed as .zst, weights as .xz, and unpacked by the build into ignored folders.
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

# xz knows that every second byte is alike (lp=1,pb=1): that makes weights of bfloat16 a seventh smaller than zstd does.
# Made by: xz -k --lzma2=preset=6,lc=2,lp=1,pb=1 model.safetensors
find_program(XZ_PROGRAM xz REQUIRED)
# The built-in model is unpacked beside its configuration: a complete Hugging Face folder in the source tree. It is put
# there whole: another build of the tree may be running its tests.
set(weights ${PROJECT_SOURCE_DIR}/models/eyeshot-tiny/model.safetensors)
add_custom_command(OUTPUT ${weights}
  COMMAND ${XZ_PROGRAM} -d -c -q ${weights}.xz > ${PROJECT_BINARY_DIR}/eyeshot-tiny.safetensors
  COMMAND mv -f ${PROJECT_BINARY_DIR}/eyeshot-tiny.safetensors ${weights}
  DEPENDS ${weights}.xz VERBATIM)
add_custom_target(eyeshot_data ALL DEPENDS ${outputs} ${weights})
