# SPDX-License-Identifier: MIT
#
# Writes the table of conformance/cuda/table from its files: compilers and the chips they know; kernels; entries; results;
# entries that were executed.

# Limits of a multiprocessor: warps, blocks, bytes of shared memory, and of those what the driver keeps of each block. All have
# 65,536 registers in four parts, given out by 256 to a warp.
BEGIN {
    limits["sm_75"] = "32 16 65536 0 256"
    limits["sm_80"] = "64 32 167936 1024 128"
    limits["sm_89"] = "48 24 102400 1024 128"
    limits["sm_90a"] = "64 32 233472 1024 128"
    limits["sm_100"] = "64 32 233472 1024 128"
    limits["sm_120"] = "48 24 102400 1024 128"
    chip_count = split(chips, chip, " ")
    compiler_count = split("ptxas nvcc nvrtc", compiler, " ")
}

FNR == 1 { file++ }
file == 1 { knows[$1, $2] = 1 }
file == 2 { stems[++kernel_count] = $1; name[$1] = $2; oldest[$1] = $4 }
file == 3 {
    threads[$1, $2] = $3
    ptx[$1] = $5 ", " $4
    entries[$1] = entries[$1] " " $2
}
file == 4 && $4 == "error" { failed[$1, $2, $3] = 1; next }
file == 4 {
    made[$1, $2, $3] = 1
    if ($6 > 0) { spills[$1, $2]++; if ($6 > most_spilled[$1, $2]) most_spilled[$1, $2] = $6 }
    if ($1 == "ptxas") { registers[$2, $3, $4] = $5; shared[$3, $4] = $7 }
}

file == 5 {
    executed[$2, $3] = executed[$2, $3] (executed[$2, $3] ? ", " : "") $1
    if (!counted[$1, $2]++) executed_count[$1]++
}

function round_up(value, to) { return int((value + to - 1) / to) * to }
function least(a, b) { return a < b ? a : b }

# Warps in use, of the most.
function occupancy(which, stem, entry,   n, warps, blocks, by_registers) {
    split(limits[which], n, " ")
    warps = int((threads[stem, entry] + 31) / 32)
    by_registers = 4 * int(16384 / round_up(32 * registers[which, stem, entry], 256))
    blocks = least(n[2], int(least(n[1], by_registers) / warps))
    if (shared[stem, entry] + n[4] > 0)
        blocks = least(blocks, int(n[3] / (round_up(shared[stem, entry] + n[4], n[5]))))
    return blocks * warps "/" n[1]
}

function is_for(stem, which,   n) {
    split(which, n, /[^0-9]+/)
    return oldest[stem] <= n[2]
}

function count_of(tool, which,   i, good, all) {
    if (!knows[tool, which])
        return "not here"
    for (i = 1; i <= kernel_count; i++)
        if (is_for(stems[i], which)) {
            all++
            good += made[tool, which, stems[i]] && !failed[tool, which, stems[i]]
        }
    return good + 0 " of " all + 0
}

function spilled(tool, which) {
    if (!knows[tool, which])
        return "not here"
    return spills[tool, which] ? spills[tool, which] " entr" (spills[tool, which] == 1 ? "y" : "ies") ", up to " most_spilled[tool, which] " bytes" : "0"
}

function cell(which, stem, entry,   text, t) {
    if (!is_for(stem, which))
        return "–"
    text = knows["ptxas", which] ? "not compiled" : "not here"
    if ((which, stem, entry) in registers)
        text = registers[which, stem, entry] " · " occupancy(which, stem, entry)
    for (t = 2; t <= compiler_count; t++)
        if (failed[compiler[t], which, stem])
            text = text ", " compiler[t] " fails"
    return text
}

END {
    print "| chip | clang, PTX | ptxas | nvcc | NVRTC | spilled: ptxas | spilled: nvcc | spilled: NVRTC | executed |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (c = 1; c <= chip_count; c++) {
        fit = 0
        for (i = 1; i <= kernel_count; i++)
            fit += is_for(stems[i], chip[c])
        printf "| %s | %d |", chip[c], fit
        for (t = 1; t <= compiler_count; t++)
            printf " %s |", count_of(compiler[t], chip[c])
        for (t = 1; t <= compiler_count; t++)
            printf " %s |", spilled(compiler[t], chip[c])
        simulated = chip[c]
        sub(/a$/, "", simulated)
        print executed_count[simulated] ? " " executed_count[simulated] ", simulated |" : " no |"
    }
    printf "\n| kernel | threads | shared bytes | PTX |"
    for (c = 1; c <= chip_count; c++)
        printf " %s |", chip[c]
    printf " executed as |\n| --- | ---: | ---: | --- |"
    for (c = 1; c <= chip_count; c++)
        printf " --- |"
    print " --- |"
    for (i = 1; i <= kernel_count; i++) {
        stem = stems[i]
        n = split(entries[stem], entry, " ")
        for (e = 1; e <= n; e++) {
            label = e == 1 ? "`" name[stem] "`" : "its second launch, `" entry[e] "`"
            bytes = (stem, entry[e]) in shared ? shared[stem, entry[e]] : "not here"
            printf "| %s | %d | %s | %s |", label, threads[stem, entry[e]], bytes, ptx[stem]
            for (c = 1; c <= chip_count; c++)
                printf " %s |", cell(chip[c], stem, entry[e])
            print " " (executed[stem, entry[e]] ? executed[stem, entry[e]] : "no") " |"
        }
    }
}
