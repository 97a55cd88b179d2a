# SPDX-License-Identifier: MIT
#
# The tests. A file conformance/<folder>/<name>_test.c becomes the program <name>_test and the test of that name;
# conformance/fuzz/<name>_fuzz.c becomes a replay of its corpus, and a fuzzer where ISOMER_FUZZ is on.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

add_library(isomer_test_support OBJECT)
file(GLOB support_sources CONFIGURE_DEPENDS conformance/support/*.c)
target_sources(isomer_test_support PRIVATE ${support_sources})

file(GLOB test_sources CONFIGURE_DEPENDS conformance/*/*_test.c)
foreach(source ${test_sources})
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  add_executable(${name} ${source} $<TARGET_OBJECTS:isomer_test_support>)
  target_link_libraries(${name} PRIVATE isomer_conformance isomer_static PkgConfig::CMOCKA PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::UTF8PROC)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS ${folder} ENVIRONMENT "ISOMER_PROGRAM=$<TARGET_FILE:isomer>")
endforeach()

file(GLOB fuzz_sources CONFIGURE_DEPENDS conformance/fuzz/*_fuzz.c)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "_fuzz" "" corpus ${name})
  add_executable(${name}_replay ${source} conformance/fuzz/replay.c)
  target_link_libraries(${name}_replay PRIVATE isomer_static PkgConfig::JANSSON)
  add_test(NAME ${name}_replay COMMAND ${name}_replay ${CMAKE_CURRENT_SOURCE_DIR}/conformance/fuzz/corpus/${corpus})
  set_tests_properties(${name}_replay PROPERTIES LABELS fuzz)
  if(ISOMER_FUZZ)
    add_executable(${name} ${source})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${name} PRIVATE isomer_static PkgConfig::JANSSON)
  endif()
endforeach()

# For conformance/cuda/table, which gives it the kernels' texts.
add_executable(nvrtc_compile conformance/cuda/nvrtc_compile.c)
target_link_libraries(nvrtc_compile PRIVATE ${CMAKE_DL_LIBS})

if(TARGET isomer_cuda_simulator)
  # For conformance/cuda/roofline.
  add_executable(cuda_roofline conformance/cuda/roofline.c)
  target_link_libraries(cuda_roofline PRIVATE isomer_conformance isomer_static PkgConfig::JANSSON m)
  add_dependencies(cuda_roofline isomer_cuda_simulator)

  # Libraries in the place of a driver and of a compiler, for what the simulator and NVRTC do not do on demand.
  foreach(stub cuda_driver_stub nvrtc_stub)
    add_library(${stub} MODULE conformance/unit/stubs/${stub}.c)
  endforeach()
  foreach(name cuda_test cuda_modules_test cuda_devices_test cuda_faults_test cuda_pair_test cuda_pair_faults_test cuda_refusals_test
          cuda_nvrtc_test orders_test matrix_sums_test)
    add_dependencies(${name} isomer_cuda_simulator cuda_driver_stub nvrtc_stub)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
      "ISOMER_CUDA_SIMULATOR=$<TARGET_FILE:isomer_cuda_simulator>"
      "ISOMER_CUDA_DRIVER_STUB=$<TARGET_FILE:cuda_driver_stub>" "ISOMER_NVRTC_STUB=$<TARGET_FILE:nvrtc_stub>")
  endforeach()
  # What runs on any device, on each simulated chip: from the PTX that ships, and with no word from the simulator.
  foreach(chip sm_75 sm_80 sm_89 sm_90)
    set(names ops_test oracle_test replay_test device_suite_test model_suite_test)
    # The chips that tuned kernels were written for: their tiles are chosen by the number of rows.
    if(chip MATCHES "80|89")
      list(APPEND names batch_rows_test)
    endif()
    foreach(name ${names})
      add_test(NAME ${chip}_${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
      set_tests_properties(${chip}_${name} PROPERTIES TIMEOUT 900 LABELS cuda
        FAIL_REGULAR_EXPRESSION "cuda .simulated ${chip}.: "
        ENVIRONMENT "ISOMER_CUDA_DRIVER=$<TARGET_FILE:isomer_cuda_simulator>;ISOMER_CUDA_NVRTC=off;ISOMER_CUDASIM_ARCH=${chip};ISOMER_TEST_DEVICES=cuda:0")
    endforeach()
  endforeach()
  # Every kernel where matrix instructions cut off as chips do, FP8 ones most of all on sm_89.
  add_test(NAME sm_89_cutting_ops_test COMMAND ops_test WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(sm_89_cutting_ops_test PROPERTIES TIMEOUT 900 LABELS cuda FAIL_REGULAR_EXPRESSION "cuda .simulated sm_89.: "
    ENVIRONMENT "ISOMER_CUDA_DRIVER=$<TARGET_FILE:isomer_cuda_simulator>;ISOMER_CUDA_NVRTC=off;ISOMER_CUDASIM_ARCH=sm_89;ISOMER_CUDASIM_MMA=chip;ISOMER_TEST_DEVICES=cuda:0")
endif()
