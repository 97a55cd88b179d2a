# SPDX-License-Identifier: MIT
#
# The simulators, and their tests where tests are built. Today: that of CUDA. Its PTX interpreter stands alone: C17, threads and the maths
# library. Its arithmetic is compiled once for each kind of host; select.c takes the best that the host has.
set(simulators ${CMAKE_CURRENT_LIST_DIR})
set(ptx ${simulators}/cuda/ptx)
set(ptx_dialect ${CMAKE_CURRENT_SOURCE_DIR}/kernels/dialect)
find_package(Threads REQUIRED)

file(GLOB ptx_sources CONFIGURE_DEPENDS ${ptx}/*.c)
file(GLOB ptx_tests CONFIGURE_DEPENDS ${ptx}/*_test.c)
set(ptx_per_host ${ptx}/exec_alu.c ${ptx}/exec_float.c ${ptx}/exec_approx.c ${ptx}/exec_compare.c ${ptx}/exec_convert.c ${ptx}/exec_access.c
    ${ptx}/exec_memory.c ${ptx}/exec_matrix.c ${ptx}/exec_mma.c)
list(REMOVE_ITEM ptx_sources ${ptx_tests} ${ptx_per_host})

# Wrapping integers, exact rounding, and places that are read as several types.
set(ptx_options -O3 -fwrapv -fno-strict-aliasing -ffp-contract=off -fno-math-errno -fno-trapping-math -fPIC)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  list(APPEND ptx_options -Wno-pass-failed) # vector loops are a wish
endif()
add_library(isomer_ptx STATIC ${ptx_sources})
target_include_directories(isomer_ptx PUBLIC ${ptx})
target_compile_options(isomer_ptx PRIVATE ${ptx_options})
target_link_libraries(isomer_ptx PUBLIC Threads::Threads m)

set(ptx_flags_plain "")
set(ptx_flags_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt -mpopcnt)
set(ptx_flags_avx512 ${ptx_flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
set(ptx_kinds plain)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  list(APPEND ptx_kinds avx2 avx512)
endif()
foreach(kind ${ptx_kinds})
  add_library(isomer_ptx_${kind} OBJECT ${ptx_per_host})
  target_include_directories(isomer_ptx_${kind} PRIVATE ${ptx})
  target_compile_definitions(isomer_ptx_${kind} PRIVATE PTX_VARIANT=${kind})
  target_compile_options(isomer_ptx_${kind} PRIVATE ${ptx_options} ${ptx_flags_${kind}})
  target_sources(isomer_ptx PRIVATE $<TARGET_OBJECTS:isomer_ptx_${kind}>)
endforeach()
set_source_files_properties(${ptx}/exec_float.c PROPERTIES COMPILE_OPTIONS -frounding-math)

include(${simulators}/cuda/driver/driver.cmake)
if(NOT ISOMER_TESTS)
  return()
endif()

# Inline PTX as kernels for tensor cores use it, for tensor_test.
set(ptx_tensor_folder ${CMAKE_CURRENT_BINARY_DIR}/ptx_tensor)
set(ptx_tensor_files "")
if(ISOMER_CUDA_CLANG)
  foreach(arch 80 89 90a)
    set(out ${ptx_tensor_folder}/tensor_kernels.sm_${arch}.ptx)
    add_custom_command(OUTPUT ${out}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${ptx_tensor_folder}
      COMMAND ${ISOMER_CUDA_CLANG} -x cuda -nocudainc -nocudalib --cuda-device-only --cuda-gpu-arch=sm_${arch} -O3 -S
        -Wno-unknown-cuda-version -include ${ptx_dialect}/cuda_clang.h -o ${out} ${ptx}/tensor_kernels.cu
      DEPENDS ${ptx}/tensor_kernels.cu ${ptx_dialect}/cuda_clang.h
      VERBATIM)
    list(APPEND ptx_tensor_files ${out})
  endforeach()
endif()
add_custom_target(isomer_ptx_tensor DEPENDS ${ptx_tensor_files})

foreach(source ${ptx_tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE isomer_ptx)
  target_compile_options(${name} PRIVATE -fwrapv) # what they calculate beside the interpreter wraps, too
  set(arguments "")
  if(name STREQUAL "kernels_test")
    add_dependencies(${name} isomer_kernels) # which leaves its PTX there
    set(arguments ${generated})
  elseif(name STREQUAL "tensor_test")
    add_dependencies(${name} isomer_ptx_tensor)
    set(arguments ${ptx_tensor_folder})
  endif()
  add_test(NAME ptx_${name} COMMAND ${name} ${arguments})
  set_tests_properties(ptx_${name} PROPERTIES TIMEOUT 900 LABELS simulators SKIP_RETURN_CODE 77)
endforeach()

# Every kind of host that this one can execute gives the same.
foreach(kind ${ptx_kinds})
  foreach(name opcodes_test edges_test matrix_test mma_test approx_test)
    add_test(NAME ptx_${name}_${kind} COMMAND ${name})
    set_tests_properties(ptx_${name}_${kind} PROPERTIES TIMEOUT 900 LABELS simulators ENVIRONMENT PTX_HOST=${kind})
  endforeach()
endforeach()
