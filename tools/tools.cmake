# SPDX-License-Identifier: MIT
#
# The `isomer` program, and what is installed.
file(GLOB tool_sources CONFIGURE_DEPENDS tools/isomer/*.c)
add_executable(isomer ${tool_sources})
target_link_libraries(isomer PRIVATE isomer_conformance isomer_static PkgConfig::JANSSON)

install(TARGETS isomer isomer_static isomer_shared)
foreach(folder runtime kernels model)
  install(DIRECTORY ${folder}/include/isomer DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()
install(DIRECTORY model/tiny-r1 DESTINATION ${CMAKE_INSTALL_DATADIR}/isomer
  FILES_MATCHING PATTERN "*.json" PATTERN "*.safetensors" PATTERN "*.md")
install(DIRECTORY backends/sim/chips DESTINATION ${CMAKE_INSTALL_DATADIR}/isomer FILES_MATCHING PATTERN "*.chip")
configure_file(tools/isomer.pc.in ${CMAKE_CURRENT_BINARY_DIR}/isomer.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/isomer.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
