# SPDX-License-Identifier: MIT
#
# Builds one portable kernel, called by kernels.cmake as a build step:
#   cmake -DOP=… -DX=… -DW=… -DY=… -DKERNELS=<kernels folder> -DOUT=<file.c> -DGLSLANG=… -P build_kernel.cmake
# Joins dialect and kernel text for each language, compiles the GLSL form to SPIR-V, and writes a C file that holds
# both and the iso_kernel that describes them. With -DLANGUAGE=<header in dialect/ without .h> it writes that one text
# to OUT and does nothing else, for a check that compiles it. With -DTEXT=<file.k> the text is taken from there and the
# kernel is no op's: it has code and no `supports` and `launch` (conformance/profile/probes).
cmake_minimum_required(VERSION 3.25)

set(id ${X}_${W}_${Y})
string(TOLOWER ${id} variant)

# Comments and indentation are dropped: the text is compiled, not read.
function(read_text file out)
  file(READ ${file} text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REGEX REPLACE "\n[ \t]+" "\n" text "${text}")
  while(text MATCHES "#include \"([a-z0-9_.]+)\"\n")
    set(name ${CMAKE_MATCH_1})
    read_text(${KERNELS}/dialect/${name} included)
    string(REPLACE "#include \"${name}\"\n" "${included}" text "${text}")
  endwhile()
  string(REGEX REPLACE "\n\n+" "\n" text "${text}")
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

read_text(${KERNELS}/dialect/numbers.kh numbers)
if(TEXT)
  set(header kernels/kernel.h)
  set(calls "")
else()
  set(TEXT ${KERNELS}/${OP}/${OP}.k)
  set(header kernels/functions.h)
  set(calls "    .supports = iso_${OP}_portable_supports,
    .launch = iso_${OP}_portable_launch,
")
endif()
read_text(${TEXT} kernel)
set(defines "#define X_${X} 1\n#define W_${W} 1\n#define Y_${Y} 1\n")

if(LANGUAGE)
  read_text(${KERNELS}/dialect/${LANGUAGE}.h dialect)
  file(WRITE ${OUT} "${defines}${dialect}\n${numbers}\n${kernel}")
  return()
endif()

read_text(${KERNELS}/dialect/glsl.h dialect)
string(REGEX REPLACE "\\.c$" "" stem ${OUT})
file(WRITE ${stem}.comp "#version 450\n${defines}${dialect}\n${numbers}\n${kernel}")
execute_process(
  COMMAND ${GLSLANG} -V --quiet --target-env vulkan1.2 -S comp --vn spirv -o ${stem}.spv.h ${stem}.comp
  RESULT_VARIABLE result OUTPUT_VARIABLE log ERROR_VARIABLE log)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${OP} (${variant}): ${log}")
endif()

file(READ ${stem}.spv.h spirv)
string(REGEX REPLACE "#pragma once" "" spirv "${spirv}")
string(REPLACE "const uint32_t spirv[]" "static const uint32_t spirv[]" spirv "${spirv}")

read_text(${KERNELS}/dialect/opencl.h dialect)
set(text "${defines}${dialect}\n${numbers}\n${kernel}")
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")

# The group size stands in the text: KERNEL_BEGIN(name, 64).
if(NOT kernel MATCHES "KERNEL_BEGIN\\(${OP}, ([0-9]+)\\)")
  message(FATAL_ERROR "${TEXT} has no line KERNEL_BEGIN(${OP}, <group size>)")
endif()
set(group ${CMAKE_MATCH_1})

file(WRITE ${OUT} "// Generated from the text of kernel ${OP}.
#include \"${header}\"

${spirv}
static const char opencl[] =
    \"${text}\";

extern const iso_kernel iso_kernel_${OP}_portable_${id};
const iso_kernel iso_kernel_${OP}_portable_${id} = {
    .name = \"${OP}.portable.${variant}\",
    .op = \"${OP}\",
    .dtypes = {ISO_DTYPE_KEY_${X}, ISO_DTYPE_KEY_${W}, ISO_DTYPE_KEY_${Y}},
    .group_size = ${group},
${calls}    .codes = {{.format = ISO_CODE_SPIRV, .code = spirv, .code_bytes = sizeof spirv},
              {.format = ISO_CODE_OPENCL_C, .code = opencl, .code_bytes = sizeof opencl - 1}},
};
")
