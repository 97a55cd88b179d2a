# SPDX-License-Identifier: MIT
#
# The CUDA simulator's driver half: one shared library over the PTX interpreter, and its tests. Included by simulators.cmake once
# isomer_ptx is made.
set(driver ${CMAKE_CURRENT_LIST_DIR})
file(GLOB driver_sources CONFIGURE_DEPENDS ${driver}/*.c)
file(GLOB driver_tests CONFIGURE_DEPENDS ${driver}/*_test.c)
list(REMOVE_ITEM driver_sources ${driver_tests})

add_library(isomer_cuda_simulator SHARED ${driver_sources})
set_target_properties(isomer_cuda_simulator PROPERTIES OUTPUT_NAME isomer-cuda-simulator C_VISIBILITY_PRESET hidden)
target_compile_definitions(isomer_cuda_simulator PRIVATE _GNU_SOURCE)
target_include_directories(isomer_cuda_simulator PRIVATE ${driver})
# The interpreter's names stay inside.
target_link_libraries(isomer_cuda_simulator PRIVATE isomer_ptx)
if(NOT APPLE)
  target_link_options(isomer_cuda_simulator PRIVATE -Wl,--exclude-libs,ALL)
endif()

# For driver_fatbinary_test, which says that it is skipped where they are not.
find_program(driver_fatbinary fatbinary HINTS /usr/local/cuda/bin)
find_program(driver_ptxas ptxas HINTS /usr/local/cuda/bin)
install(TARGETS isomer_cuda_simulator)
if(NOT ISOMER_TESTS)
  return()
endif()

foreach(source ${driver_tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
  target_include_directories(${name} PRIVATE ${driver})
  target_link_libraries(${name} PRIVATE Threads::Threads m ${CMAKE_DL_LIBS})
  add_dependencies(${name} isomer_cuda_simulator)
  set(arguments "")
  if(name STREQUAL "driver_fatbinary_test" AND driver_fatbinary AND driver_ptxas)
    get_filename_component(arguments ${driver_fatbinary} DIRECTORY)
  endif()
  add_test(NAME ${name} COMMAND ${name} $<TARGET_FILE:isomer_cuda_simulator> ${arguments})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS simulators)
endforeach()

# The interface's names, values and layouts against cuda.h, where there is one.
find_path(driver_cuda_include cuda.h PATHS /usr/local/cuda/include NO_DEFAULT_PATH)
if(driver_cuda_include)
  add_executable(driver_abi_cuda_test ${driver}/driver_abi_test.c)
  target_compile_definitions(driver_abi_cuda_test PRIVATE WITH_CUDA_H)
  target_include_directories(driver_abi_cuda_test PRIVATE ${driver})
  target_include_directories(driver_abi_cuda_test SYSTEM PRIVATE ${driver_cuda_include})
  target_link_libraries(driver_abi_cuda_test PRIVATE ${CMAKE_DL_LIBS})
  add_test(NAME driver_abi_cuda_test COMMAND driver_abi_cuda_test $<TARGET_FILE:isomer_cuda_simulator>)
  set_tests_properties(driver_abi_cuda_test PROPERTIES LABELS simulators)
endif()
