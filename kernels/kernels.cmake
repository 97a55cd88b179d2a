# SPDX-License-Identifier: MIT
#
# The build of kernels/, driven by ops.def and each op's op.def. Defines the object library isomer_kernels.
find_program(ISOMER_GLSLANG NAMES glslangValidator REQUIRED)

include(CheckCCompilerFlag)
check_c_compiler_flag("-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma" ISOMER_HAVE_AVX512)
check_c_compiler_flag("-mavx2 -mfma" ISOMER_HAVE_AVX2)
set(cpu_flags_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c -mprefer-vector-width=512)
set(cpu_flags_avx2 -mavx2 -mfma -mf16c)
set(cpu_flags_generic "")
set(cpu_features_avx512 ISO_FEATURE_NATIVE_AVX512)
set(cpu_features_avx2 ISO_FEATURE_NATIVE_AVX2)
set(cpu_features_generic 0)
set(cpu_have_generic TRUE)
set(cpu_have_avx2 ${ISOMER_HAVE_AVX2})
set(cpu_have_avx512 ${ISOMER_HAVE_AVX512})
foreach(variant avx2 avx512)
  if(cpu_have_${variant})
    set(have_${variant} 1)
  else()
    set(have_${variant} 0)
  endif()
endforeach()

file(GLOB dialect_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kernels/dialect/*)
file(STRINGS kernels/ops.def op_lines REGEX "^ISO_OP")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS kernels/ops.def)
file(GLOB kernel_sources CONFIGURE_DEPENDS kernels/*.c)
set(generated ${CMAKE_CURRENT_BINARY_DIR}/kernels)
file(MAKE_DIRECTORY ${generated})

add_library(isomer_kernels OBJECT ${kernel_sources})
set(kernel_libraries isomer_kernels)
foreach(variant generic avx2 avx512)
  if(cpu_have_${variant})
    add_library(isomer_cpu_${variant} OBJECT)
    list(APPEND kernel_libraries isomer_cpu_${variant})
    target_compile_options(isomer_cpu_${variant} PRIVATE ${cpu_flags_${variant}} -O3 -ffp-contract=fast -Wno-psabi)
    target_compile_definitions(isomer_cpu_${variant} PRIVATE
      ISO_CPU_VARIANT=${variant} ISO_CPU_FEATURES=${cpu_features_${variant}})
  endif()
endforeach()
target_compile_options(isomer_kernels PRIVATE -Wno-psabi)

foreach(line ${op_lines})
  string(REGEX MATCH "ISO_OP\\(([a-z0-9_]+), *([0-9]+), *([0-9]+)\\)" _ "${line}")
  set(op ${CMAKE_MATCH_1})
  set(inputs ${CMAKE_MATCH_2})
  set(outputs ${CMAKE_MATCH_3})
  set(folder ${CMAKE_CURRENT_SOURCE_DIR}/kernels/${op})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/op.def)
  # The bound's formula and version stand in bound.md and are part of the program's tables.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/bound.md)
  file(STRINGS ${folder}/bound.md bound_version REGEX "^Version [0-9]+" LIMIT_COUNT 1)
  string(REGEX REPLACE "^Version ([0-9]+).*" "\\1" bound_version "${bound_version}")
  file(STRINGS ${folder}/bound.md bound REGEX "^Bound: " LIMIT_COUNT 1)
  string(REGEX REPLACE "^Bound: *" "" bound "${bound}")
  string(REPLACE "\"" "'" bound "${bound}")
  configure_file(kernels/op_table.c.in ${generated}/${op}_table.c @ONLY)
  target_sources(isomer_kernels PRIVATE ${generated}/${op}_table.c ${folder}/ref.c)

  file(STRINGS ${folder}/op.def cpu_lines REGEX "^ISO_CPU_KERNEL")
  foreach(cpu_line ${cpu_lines})
    string(REGEX MATCH "\\(([a-z0-9]+)\\)" _ "${cpu_line}")
    if(cpu_have_${CMAKE_MATCH_1})
      target_sources(isomer_cpu_${CMAKE_MATCH_1} PRIVATE ${folder}/cpu.c)
    endif()
  endforeach()

  file(STRINGS ${folder}/op.def portable_lines REGEX "^ISO_PORTABLE_KERNEL")
  if(portable_lines)
    target_sources(isomer_kernels PRIVATE ${folder}/launch.c)
  endif()
  foreach(portable_line ${portable_lines})
    string(REGEX MATCH "\\(([A-Z0-9]+), *([A-Z0-9]+), *([A-Z0-9]+)\\)" _ "${portable_line}")
    set(out ${generated}/${op}_${CMAKE_MATCH_1}_${CMAKE_MATCH_2}_${CMAKE_MATCH_3}.c)
    add_custom_command(
      OUTPUT ${out}
      COMMAND ${CMAKE_COMMAND} -DOP=${op} -DX=${CMAKE_MATCH_1} -DW=${CMAKE_MATCH_2} -DY=${CMAKE_MATCH_3}
              -DKERNELS=${CMAKE_CURRENT_SOURCE_DIR}/kernels -DOUT=${out} -DGLSLANG=${ISOMER_GLSLANG}
              -P ${CMAKE_CURRENT_SOURCE_DIR}/kernels/build_kernel.cmake
      DEPENDS ${folder}/${op}.k ${dialect_files} ${CMAKE_CURRENT_SOURCE_DIR}/kernels/build_kernel.cmake
      COMMENT "kernel ${op} ${CMAKE_MATCH_1} ${CMAKE_MATCH_2} ${CMAKE_MATCH_3}"
      VERBATIM)
    target_sources(isomer_kernels PRIVATE ${out})
  endforeach()
endforeach()
