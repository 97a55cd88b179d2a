# SPDX-License-Identifier: MIT
#
# Builds one kernel, called by kernels.cmake as a build step:
#   cmake -DOP=… -DX=… -DW=… -DY=… -DKERNELS=<kernels folder> -DOUT=<file.c> -DGLSLANG=… [-DCUDA_CLANG=… [-DPTXAS=…
#         -DFATBINARY=…]] [-DTUNED=… | -DTEXT=… | -DLANGUAGE=…] -P build_kernel.cmake
# Joins dialect and kernel text for each language, compiles what has a compiler, and writes a C file that holds the
# results and the iso_kernel that describes them. Beside OUT stay the texts: .comp, .cu, and .ptx.
#   TUNED     a kernel of one target, "cuda_sm80": from <op>/cuda_sm80.cu, with <op>/cuda_sm80.c
#   TEXT      <file>: no op's kernel, with code and no `supports` and `launch` (conformance/profile/probes); with TUNED one of
#             that target
#   LANGUAGE  <header in dialect/ without .h>: writes that one text to OUT and does nothing else, for a check that compiles it
cmake_minimum_required(VERSION 3.25)

set(id ${X}_${W}_${Y})
string(TOLOWER ${id} variant)
set(defines "#define X_${X} 1\n#define W_${W} 1\n#define Y_${Y} 1\n")
string(REGEX REPLACE "\\.c$" "" stem ${OUT})
set(objects "") # what the C file defines before the kernel
set(declarations "")
set(for_whom "")  # whose devices a tuned kernel is for
set(codes "")   # the initialisers of iso_kernel.codes

# ---- texts ----

# Comments and indentation are dropped: the text is compiled, not read. #include "name" stands for the file of that name
# beside the kernel's text or in dialect/, the first time; it is there for all that follows.
function(read_text file out)
  file(READ ${file} text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REGEX REPLACE "\n[ \t]+" "\n" text "${text}")
  while(text MATCHES "#include \"([a-z0-9_.]+)\"\n")
    set(name ${CMAKE_MATCH_1})
    get_property(included GLOBAL PROPERTY included_${name})
    set(part "")
    if(NOT included)
      set_property(GLOBAL PROPERTY included_${name} TRUE)
      get_filename_component(folder ${TEXT} ABSOLUTE)
      get_filename_component(folder ${folder} DIRECTORY)
      if(NOT EXISTS ${folder}/${name})
        set(folder ${KERNELS}/dialect)
      endif()
      read_text(${folder}/${name} part)
    endif()
    string(FIND "${text}" "#include \"${name}\"\n" begin)
    string(LENGTH "#include \"${name}\"\n" length)
    string(SUBSTRING "${text}" 0 ${begin} before)
    math(EXPR begin "${begin} + ${length}")
    string(SUBSTRING "${text}" ${begin} -1 after)
    set(text "${before}${part}${after}")
  endwhile()
  string(REGEX REPLACE "\n\n+" "\n" text "${text}")
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

function(join_text language out)
  read_text(${KERNELS}/dialect/${language}.h dialect)
  read_text(${KERNELS}/dialect/numbers.kh numbers)
  set(${out} "${defines}${dialect}\n${numbers}\n${kernel}" PARENT_SCOPE)
endfunction()

# Runs a compiler; its words are the failure's.
function(compile)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE log ERROR_VARIABLE log)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${OP} (${variant}): ${log}")
  endif()
endfunction()

# ---- what goes into the C file ----

# `needs`: the version of what takes the code (iso_kernel_code.needs_version); none: any.
macro(add_code format name bytes)
  set(version "")
  if(${ARGC} GREATER 3)
    set(version ", .needs_version = ${ARGV3}")
  endif()
  string(APPEND codes "{.format = ${format}, .code = ${name}, .code_bytes = ${bytes}${version}},\n              ")
endmacro()

# `text_name`: the variable that holds the text. A macro would take its backslashes for its own.
function(add_text format name text_name)
  string(REPLACE "\\" "\\\\" quoted "${${text_name}}")
  string(REPLACE "\"" "\\\"" quoted "${quoted}")
  string(REPLACE "\n" "\\n\"\n    \"" quoted "${quoted}")
  string(APPEND objects "static const char ${name}[] =\n    \"${quoted}\";\n\n")
  add_code(${format} ${name} "sizeof ${name} - 1" ${ARGN})
  set(objects "${objects}" PARENT_SCOPE)
  set(codes "${codes}" PARENT_SCOPE)
endfunction()

# ---- languages ----

macro(add_glsl)
  join_text(glsl text)
  file(WRITE ${stem}.comp "#version 450\n${text}")
  compile(${GLSLANG} -V --quiet --target-env vulkan1.2 -S comp --vn spirv -o ${stem}.spv.h ${stem}.comp)
  file(READ ${stem}.spv.h spirv)
  string(REGEX REPLACE "#pragma once" "" spirv "${spirv}")
  string(REPLACE "const uint32_t spirv[]" "static const uint32_t spirv[]" spirv "${spirv}")
  string(APPEND objects "${spirv}\n")
  add_code(ISO_CODE_SPIRV spirv "sizeof spirv")
endmacro()

macro(add_opencl)
  join_text(opencl text)
  add_text(ISO_CODE_OPENCL_C opencl text)
endmacro()

# The text for a run-time compiler, and what a driver takes without one: PTX for the oldest chip that the kernel is for,
# and where NVIDIA's assembler is, machine code for later ones in one file with it.
macro(add_cuda arch)
  join_text(cuda text)
  file(WRITE ${stem}.cu "${text}")
  # The oldest PTX that has the chip and what texts for it use, so that old drivers take it; the CUDA that it came with.
  set(ptx_version 70)
  set(ptx_cuda 11000)
  if(${arch} GREATER_EQUAL 89)
    set(ptx_version 84)
    set(ptx_cuda 12040)
  endif()
  add_text(ISO_CODE_CUDA_C cuda text ${ptx_cuda})
  compile(${CUDA_CLANG} -x cuda -nocudainc -nocudalib --cuda-device-only --cuda-gpu-arch=sm_${arch}
          --cuda-feature=+ptx${ptx_version} -O3 -S
          -Wno-unknown-cuda-version -include ${KERNELS}/dialect/cuda_clang.h -o ${stem}.ptx ${stem}.cu)
  if(PTXAS AND FATBINARY)
    set(images --image3=kind=ptx,sm=${arch},file=${stem}.ptx)
    foreach(chip 80 90a 100 120)
      string(REGEX MATCH "[0-9]+" number ${chip})
      if(number LESS ${arch})
        continue()
      endif()
      compile(${PTXAS} -arch=sm_${chip} -o ${stem}.sm_${chip}.cubin ${stem}.ptx)
      list(APPEND images --image3=kind=elf,sm=${chip},file=${stem}.sm_${chip}.cubin)
    endforeach()
    compile(${FATBINARY} -64 --compress=false --create=${stem}.fatbin ${images})
    file(SIZE ${stem}.fatbin fatbin_bytes)
    set(symbol iso_fatbin_${symbol_stem})
    string(APPEND objects "__asm__(\".section .rodata\\n.balign 16\\n.hidden ${symbol}\\n.globl ${symbol}\\n${symbol}:\\n\"
        \".incbin \\\"${stem}.fatbin\\\"\\n.previous\\n\");
extern const unsigned char ${symbol}[];

")
    # Within one major version of CUDA drivers may be older than the assembler; before it they get the PTX.
    execute_process(COMMAND ${PTXAS} --version OUTPUT_VARIABLE release)
    if(NOT release MATCHES "release ([0-9]+)\\.")
      message(FATAL_ERROR "${PTXAS} --version names no release: ${release}")
    endif()
    set(assembler_cuda ${CMAKE_MATCH_1}000)
    if(assembler_cuda LESS ptx_cuda)
      set(assembler_cuda ${ptx_cuda})
    endif()
    add_code(ISO_CODE_CUBIN ${symbol} ${fatbin_bytes} ${assembler_cuda})
  endif()
  file(READ ${stem}.ptx ptx)
  add_text(ISO_CODE_PTX ptx ptx ${ptx_cuda})
endmacro()

# ---- the kernel ----

set(header kernels/functions.h)
if(TUNED)
  string(REGEX MATCH "^([a-z]+)_(([a-z]*)([0-9]+)[a-z0-9_]*)$" _ ${TUNED})
  set(tag ${CMAKE_MATCH_2})
  set(arch ${CMAKE_MATCH_4})
  set(for_whom "    .backend = \"${CMAKE_MATCH_1}\",\n    .arch = \"${CMAKE_MATCH_3}_${arch}\",\n")
  set(name ${OP}.${CMAKE_MATCH_1}.${tag}.${variant})
  set(form ${TUNED})
  set(op_text ${KERNELS}/${OP}/${TUNED}.cu)
  set(declarations "ISO_TUNED_PLAN(iso_${OP}_${TUNED})\n\n")
else()
  set(name ${OP}.portable.${variant})
  set(form portable)
  set(op_text ${KERNELS}/${OP}/${OP}.k)
endif()
set(symbol_stem ${OP}_${form}_${id})
set(calls_stem iso_${OP}_${form})
if(TEXT)
  set(header kernels/kernel.h)
  set(calls_stem "")
  set(declarations "")
else()
  set(TEXT ${op_text})
endif()
read_text(${TEXT} kernel)

if(LANGUAGE)
  join_text(${LANGUAGE} text)
  file(WRITE ${OUT} "${text}")
  return()
endif()

# The group size stands in the text: KERNEL_BEGIN(name, 64).
if(NOT kernel MATCHES "KERNEL_BEGIN\\(${OP}, ([0-9]+)\\)")
  message(FATAL_ERROR "${TEXT} has no line KERNEL_BEGIN(${OP}, <group size>)")
endif()
set(fields "${for_whom}    .group_size = ${CMAKE_MATCH_1},\n")
if(calls_stem)
  string(APPEND fields "    .supports = ${calls_stem}_supports,\n    .launch = ${calls_stem}_launch,\n")
endif()
# A second launch, which combines what the first has left in scratch memory: KERNEL_BEGIN(<op>_combine, 64).
if(kernel MATCHES "KERNEL_BEGIN\\(${OP}_combine, ([0-9]+)\\)")
  string(APPEND fields "    .combine_entry = \"${OP}_combine\",\n    .combine_group_size = ${CMAKE_MATCH_1},\n"
    "    .combine_launch = ${calls_stem}_combine_launch,\n    .scratch_bytes = ${calls_stem}_scratch_bytes,\n")
endif()

# Whose matrix instructions it sums with, one line for each pair of x's and weight's types: KERNEL_MATRIX(E4M3, E4M3, E4M3, 128).
if(kernel MATCHES "KERNEL_MATRIX\\(${X}, ${W}, ([A-Z0-9]+), ([0-9]+)\\)")
  string(APPEND fields "    .matrix = ISO_MATRIX_${CMAKE_MATCH_1},\n    .matrix_terms = ${CMAKE_MATCH_2},\n")
endif()

if(TUNED)
  add_cuda(${arch})
else()
  add_glsl()
  add_opencl()
  if(CUDA_CLANG)
    add_cuda(75)
  endif()
endif()

file(WRITE ${OUT} "// Generated from the text of kernel ${OP}.
#include \"${header}\"

${declarations}${objects}
extern const iso_kernel iso_kernel_${symbol_stem};
const iso_kernel iso_kernel_${symbol_stem} = {
    .name = \"${name}\",
    .op = \"${OP}\",
    .dtypes = {ISO_DTYPE_KEY_${X}, ISO_DTYPE_KEY_${W}, ISO_DTYPE_KEY_${Y}},
${fields}    .codes = {${codes}},
};
")
