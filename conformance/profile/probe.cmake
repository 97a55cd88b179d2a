# SPDX-License-Identifier: MIT
#
# Builds the probe kernels of conformance/profile/probes: the portable and the tuned forms by kernels/build_kernel.cmake, the
# native form once for each CPU variant with the flags of the real CPU kernels, so that what is measured is what they get.
# Adds to the library isomer_conformance.
set(probe_folder ${CMAKE_CURRENT_SOURCE_DIR}/conformance/profile/probes)
set(probe_generated ${CMAKE_CURRENT_BINARY_DIR}/probes)
file(MAKE_DIRECTORY ${probe_generated})
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${probe_folder}/probes.def)
file(STRINGS ${probe_folder}/probes.def probe_lines REGEX "^CONFORM_PROBE\\(")
foreach(line ${probe_lines})
  string(REGEX MATCH "\\(([a-z_]+), *([A-Z0-9]+), *([A-Z0-9]+), *([A-Z0-9]+)," _ "${line}")
  set(probe ${CMAKE_MATCH_1})
  isomer_build_kernel(${probe} ${CMAKE_MATCH_2} ${CMAKE_MATCH_3} ${CMAKE_MATCH_4} ${probe_folder}/${probe}.k
    ${probe_generated}/${probe}_${CMAKE_MATCH_2}_${CMAKE_MATCH_3}_${CMAKE_MATCH_4}.c isomer_conformance
    -DTEXT=${probe_folder}/${probe}.k)
endforeach()

file(STRINGS ${probe_folder}/probes.def probe_lines REGEX "^CONFORM_TUNED_PROBE")
foreach(line ${probe_lines})
  string(REGEX MATCH "\\(([a-z_]+), *([a-z]+), *([a-z0-9]+), *([A-Z0-9]+), *([A-Z0-9]+), *([A-Z0-9]+)," _ "${line}")
  set(probe ${CMAKE_MATCH_1})
  set(target ${CMAKE_MATCH_2})
  set(tuned ${CMAKE_MATCH_2}_${CMAKE_MATCH_3})
  if(have_${target})
    isomer_build_kernel(${probe} ${CMAKE_MATCH_4} ${CMAKE_MATCH_5} ${CMAKE_MATCH_6} ${probe_folder}/${probe}.cu
      ${probe_generated}/${probe}_${tuned}_${CMAKE_MATCH_4}_${CMAKE_MATCH_5}_${CMAKE_MATCH_6}.c isomer_conformance
      -DTUNED=${tuned} -DTEXT=${probe_folder}/${probe}.cu)
    target_compile_definitions(isomer_conformance PRIVATE CONFORM_HAVE_${target}=1)
  endif()
endforeach()

foreach(variant generic avx2 avx512)
  if(cpu_have_${variant})
    add_library(isomer_probe_${variant} OBJECT ${probe_folder}/cpu.c)
    target_compile_options(isomer_probe_${variant} PRIVATE ${cpu_flags_${variant}} -O3 -ffp-contract=fast -Wno-psabi)
    target_compile_definitions(isomer_probe_${variant} PRIVATE
      ISO_CPU_VARIANT=${variant} ISO_CPU_FEATURES=${cpu_features_${variant}})
    target_sources(isomer_conformance PRIVATE $<TARGET_OBJECTS:isomer_probe_${variant}>)
    target_compile_definitions(isomer_conformance PRIVATE CONFORM_HAVE_${variant}=1)
  endif()
endforeach()
