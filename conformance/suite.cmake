# SPDX-License-Identifier: MIT
#
# The conformance suite as a part of the program and of the tests: every file of its folders that is no test.
file(GLOB suite_sources CONFIGURE_DEPENDS conformance/suite/*.c conformance/ops/*.c conformance/device/*.c
  conformance/links/*.c conformance/models/*.c conformance/profile/*.c conformance/report/*.c conformance/selftest/*.c
  conformance/bisect/*.c)
list(FILTER suite_sources EXCLUDE REGEX "_test\\.c$")
add_library(isomer_conformance STATIC ${suite_sources})
target_link_libraries(isomer_conformance PUBLIC isomer_static PkgConfig::JANSSON PRIVATE PkgConfig::SODIUM)
include(conformance/profile/probe.cmake)
