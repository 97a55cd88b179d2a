// SPDX-License-Identifier: MIT
//
// Goes through the table of instruction forms: every word of every pattern is known, every form can be
// written, loads, and has something that executes it. Where NVIDIA's ptxas is installed it is asked whether
// it accepts the same text, so that the table claims nothing that PTX does not have.
#include "forms.h"
#include "ir.h"
#include "ptx_test.h"

#include <unistd.h>

// Parts of a pattern: a group is ".a,.b", and may be left out.
typedef struct part {
    char words[64][32];
    unsigned count;
    bool optional;
} part;

static void add_words(part *p, const char *list, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        size_t n = strcspn(list + at, ",");
        n = at + n > bytes ? bytes - at : n;
        if (list[at] == '%')
            add_words(p, ptx_list(list[at + 1]), strlen(ptx_list(list[at + 1])));
        else
            snprintf(p->words[p->count++], sizeof p->words[0], "%.*s", (int)n, list + at);
        at += n + 1;
    }
}

static unsigned split_pattern(const char *pattern, char *mnemonic, part *parts)
{
    size_t first = strcspn(pattern, ".[{");
    unsigned count = 0;
    memcpy(mnemonic, pattern, first);
    mnemonic[first] = 0;
    for (const char *p = pattern + first; *p; count++) {
        part *here = &parts[count];
        *here = (part){.optional = *p == '['};
        if (*p == '.') {
            size_t n = 1 + strcspn(p + 1, ".[{");
            // "L2::cache_hint" and "param::entry" have no dot inside
            add_words(here, p, n);
            p += n;
        } else {
            const char *end = strchr(p, *p == '[' ? ']' : '}');
            add_words(here, p + 1, (size_t)(end - p - 1));
            p = end + 1;
        }
    }
    return count;
}

// ---- operands for an opcode ----

static const char *type_of(const char *opcode, unsigned index)
{
    static char word[16];
    for (const char *p = strchr(opcode, '.'); p; p = strchr(p + 1, '.')) {
        size_t n = strcspn(p + 1, ".");
        for (int t = 1; t < PTX_TYPE_COUNT; t++)
            if (strlen(ptx_types[t].word) == n && !memcmp(ptx_types[t].word, p + 1, n) && index-- == 0) {
                snprintf(word, sizeof word, "%s", ptx_types[t].word);
                return word;
            }
    }
    return "b32";
}

static unsigned bits_of(const char *type)
{
    for (int t = 1; t < PTX_TYPE_COUNT; t++)
        if (!strcmp(ptx_types[t].word, type))
            return ptx_types[t].bits;
    return 32;
}

static const char *reg(const char *type, unsigned bits)
{
    bool is_float = type[0] == 'f' && !strchr(type, 'x');
    if (bits == 64)
        return is_float ? "%fd1" : "%rd1";
    if (bits == 32)
        return is_float ? "%f1" : "%r1";
    return "%rs1";
}

static bool has(const char *opcode, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = strstr(opcode, word); p; p = strstr(p + 1, word))
        if (p[-1] == '.' && (p[n] == '.' || p[n] == 0))
            return true;
    return false;
}

static const char *address_of(const char *opcode)
{
    if (has(opcode, "param::func") || (has(opcode, "param") && !strncmp(opcode, "st", 2)))
        return "[q]";
    if (has(opcode, "param") || has(opcode, "param::entry"))
        return "[p]";
    if (has(opcode, "shared") || has(opcode, "shared::cta"))
        return "[%r2]";
    if (has(opcode, "local"))
        return "[%rd4]";
    if (has(opcode, "const"))
        return "[constants]";
    return "[%rd2+16]";
}

static void by_op(const char *opcode, char *out)
{
    unsigned a, b, c, d;
    const char *type = type_of(opcode, 0);
    if (!strncmp(opcode, "mov.", 4)) {
        sprintf(out, "%s, %s", reg(type, bits_of(type)), reg(type, bits_of(type)));
    } else if (!strncmp(opcode, "cp.", 3)) {
        sprintf(out, "[%%r2], [%%rd2], 16%s", has(opcode, "L2::cache_hint") ? ", %rd3" : "");
    } else if (strstr(opcode, "matrix")) {
        const char *list = has(opcode, "x4")   ? "{%r1,%r3,%r4,%r5}"
                           : has(opcode, "x2") ? "{%r1,%r3}"
                                               : "{%r1}";
        sprintf(out, opcode[0] == 'l' ? "%s, [%%r2]" : "[%%r2], %s", list);
        if (opcode[0] == 's')
            sprintf(out, "[%%r2], %s", list);
    } else {
        static const char *const vectors[] = {"", "{%s1}", "{%s1,%s3}", "", "{%s1,%s3,%s4,%s5}"};
        const char *in = type_of(opcode, 1);
        bool wide = !strcmp(in, "f64");
        if (has(opcode, "m8n8k4") || has(opcode, "m8n8k16"))
            a = 1, b = 1, c = d = 2;
        else if (has(opcode, "m16n8k4") || (has(opcode, "m16n8k8") && in[0] != 't' && strcmp(in, "tf32")) ||
                 (has(opcode, "m16n8k16") && bits_of(type_of(opcode, 1)) == 8))
            a = 2, b = 1, c = d = 4;
        else
            a = 4, b = 2, c = d = 4;
        const char *d_type = !strcmp(type_of(opcode, 0), "f32") ? "%f" : wide ? "%fd" : "%r";
        d = !strcmp(type_of(opcode, 0), "f16") ? 2 : d;
        const char *c_type = !strcmp(type_of(opcode, 3), "f32") ? "%f" : wide ? "%fd" : "%r";
        c = !strcmp(type_of(opcode, 3), "f16") ? 2 : c;
        const char *in_type = wide ? "%fd" : "%r";
        unsigned counts[4] = {d, a, b, c};
        const char *types[4] = {d_type, in_type, in_type, c_type};
        out[0] = 0;
        for (int i = 0; i < 4; i++) {
            const char *t = types[i];
            sprintf(out + strlen(out), i ? ", " : "");
            sprintf(out + strlen(out), vectors[counts[i]], t, t, t, t);
        }
    }
}

static void one_operand(const char *p, const char *opcode, char *out)
{
    bool digit = p[1] >= '0' && p[1] <= '3';
    const char *type = type_of(opcode, digit ? (unsigned)(p[1] - '0') : 0);
    bool wide = p[digit ? 2 : 1] == 'w';
    unsigned bits = bits_of(type) * (wide ? 2 : 1);
    switch (p[0]) {
    case 'd':
    case 's':
        strcpy(out, !strncmp(p, "s64", 3) ? "%rd3" : reg(type, bits));
        break;
    case 'v':
    case 'V':
        if (has(opcode, "v2") || has(opcode, "v4"))
            sprintf(out, has(opcode, "v4") ? "{%s,%s,%s,%s}" : "{%s,%s}", reg(type, bits), reg(type, bits),
                    reg(type, bits), reg(type, bits));
        else
            strcpy(out, reg(type, bits));
        // the elements of a destination differ
        for (char *r = strchr(out, ','), n = '3'; r && p[0] == 'v'; r = strchr(r + 1, ','), n++)
            for (char *q = r + 1; *q && *q != ',' && *q != '}'; q++)
                if (*q == '1')
                    *q = n;
        break;
    case 'u':
    case 'U':
        strcpy(out, "%r1");
        break;
    case 'f':
        strcpy(out, "0f3f000000");
        break;
    case 'p':
    case 'P':
        strcpy(out, "%p1");
        break;
    case 'm':
        strcpy(out, address_of(opcode));
        break;
    case 'a':
        strcpy(out, "%rd1");
        break;
    case 'L':
        strcpy(out, "end");
        break;
    case 'T':
        strcpy(out, "table");
        break;
    default:
        strcpy(out, "1");
        break;
    }
    if (p[strcspn(p, " ") - 1] == 'Q')
        strcat(out, "|%p2");
}

static void operands_for(const char *list, const char *opcode, bool with_optional, char *out)
{
    char one[128];
    out[0] = 0;
    if (!strcmp(list, "M")) {
        by_op(opcode, out);
        return;
    }
    for (const char *p = list; *p;) {
        if (*p == '?' && !with_optional)
            break;
        p += *p == '?';
        one_operand(p, opcode, one);
        if (*out)
            strcat(out, ", ");
        strcat(out, one);
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
}

// ---- the module of all forms ----

static char text[1 << 22];
static size_t used;

static void put(const char *opcode, const char *operands)
{
    used += (size_t)snprintf(text + used, sizeof text - used, "    %s%s%s;\n", opcode, *operands ? " " : "",
                             operands);
}

static void begin(const char *name)
{
    used = (size_t)snprintf(
        text, sizeof text,
        HEADER
        ".const .align 16 .b8 constants[64];\n.extern .shared .align 16 .b8 dynamic[];\n.visible .entry %s(\n"
        "    .param .align 16 .b8 p[64]\n)\n{\n    .reg .pred %%p<4>;\n    .reg .b16 %%rs<8>;\n    .reg .b32 "
        "%%r<8>;\n"
        "    .reg .f32 %%f<8>;\n    .reg .b64 %%rd<8>;\n    .reg .f64 %%fd<8>;\n"
        "    .param .align 16 .b8 q[64];\ntable: .branchtargets end;\n",
        name);
}

static void end(void)
{
    used += (size_t)snprintf(text + used, sizeof text - used, "end:\n    ret;\n}\n");
}

static bool load(char *message)
{
    ptx_memory *memory = ptx_memory_create(0);
    ptx_module *module;
    ptx_status status = ptx_module_load(memory, text, used, message, &module);
    ptx_module_destroy(module);
    ptx_memory_destroy(memory);
    return status == PTX_OK;
}

static const char *ptxas(void)
{
    static const char *const places[] = {"/usr/local/cuda/bin/ptxas", "/usr/bin/ptxas"};
    for (size_t i = 0; i < 2; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static void ask_ptxas(const char *program, const char *pattern)
{
    char command[1024], path[] = "/tmp/forms_test_XXXXXX";
    int file = mkstemp(path);
    if (file < 0 || write(file, text, used) != (ssize_t)used) {
        CHECK(false, "cannot write %s", path);
        return;
    }
    close(file);
    snprintf(command, sizeof command, "%s -arch=sm_90a --compile-only -o /dev/null %s >%s.log 2>&1", program,
             path, path);
    int result = system(command);
    CHECK(result == 0, "ptxas does not accept '%s'", pattern);
    if (result != 0 && getenv("FORMS_VERBOSE")) {
        snprintf(command, sizeof command, "grep -v fatal %s.log", path);
        if (system(command))
            printf("no error text\n");
    }
    if (result != 0 && getenv("FORMS_VERBOSE"))
        printf("%s", text);
    unlink(path);
    snprintf(command, sizeof command, "%s.log", path);
    unlink(command);
}

// Vectors of more than 16 bytes are for sm_100 on: the interpreter refuses them, and so does ptxas.
static bool too_wide(const char *opcode)
{
    return has(opcode, "v4") && bits_of(type_of(opcode, 0)) == 64;
}

// A form's words, with one word of each of two groups (or twice of one) and the others at their first or left
// out.
static void write_opcode(const ptx_form *form, const char *opcode, bool for_ptxas)
{
    char operands[512];
    if (!strncmp(opcode, "call", 4) || too_wide(opcode))
        return;
    if (for_ptxas && has(opcode, "param::func") && !strncmp(opcode, "ld", 2))
        return; // ptxas 13.0 crashes on it outside a call
    operands_for(form->operands, opcode, has(opcode, "L2::cache_hint"), operands);
    put(opcode, operands);
}

// Every word of every group with every one of every other.
static void write_form(const ptx_form *form, bool for_ptxas)
{
    part parts[24];
    char opcode[256];
    unsigned count = split_pattern(form->pattern, opcode, parts);
    size_t first = strlen(opcode);
    if (!count)
        write_opcode(form, opcode, for_ptxas);
    for (unsigned a = 0; a < count; a++)
        for (unsigned b = a; b < count; b++)
            for (unsigned word = 0; word < parts[a].count * (a == b ? 1 : parts[b].count); word++) {
                opcode[first] = 0;
                for (unsigned i = 0; i < count; i++)
                    if (i == a || i == b || !parts[i].optional)
                        strcat(opcode, parts[i].words[i == a   ? word % parts[a].count
                                                      : i == b ? word / parts[a].count
                                                               : 0]);
                write_opcode(form, opcode, for_ptxas);
            }
    opcode[first] = 0; // without any of the groups that may be left out
    for (unsigned i = 0; i < count; i++)
        if (!parts[i].optional)
            strcat(opcode, parts[i].words[0]);
    write_opcode(form, opcode, for_ptxas);
}

static void write_module(const char *name, const ptx_form *form, bool for_ptxas)
{
    begin(name);
    write_form(form, for_ptxas);
    end();
}

// What looks like a form, or belongs to other chips, or is not executed here.
static const char *const refused[] = {
    "st.global.v4.b64 [%rd1], {%rd1,%rd2,%rd3,%rd4}",
    "ld.global.nc.v4.f64 {%fd1,%fd2,%fd3,%fd4}, [%rd1]",
    "ld.global.v8.b32 {%r1,%r2,%r3,%r4,%r5,%r6,%r7,%r1}, [%rd1]",
    "setp.lo.s32 %p1, %r1, %r2",
    "set.hi.u32.s64 %r1, %rd1, %rd2",
    "setp.lt.b32 %p1, %r1, %r2",
    "vote.all.pred %p1, %p2",
    "shfl.bfly.b32 %r1, %r2, 1, 31",
    "barrier.cluster.arrive",
    "red.async.relaxed.cluster.global.mbarrier::complete_tx::bytes.shared::cluster.add.u32 [%r1], %r2, [%r3]",
    "mma.sp.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, "
    "{%r5,%r6,%r7,%r1}, {%f1,%f2,%f3,%f4}, %r1, 0",
    "mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, {%r5,%r6}, "
    "{%f1,%f2,%f3,%f4}",
    "cp.async.bulk.commit_group",
    "cp.async.cg.shared.global [%r2], [%rd2], 8",
    "ld.mmio.relaxed.sys.global.u32 %r1, [%rd1]",
    "mov.u32 %r1, %clusterid.x",
    "cvt.rn.satfinite.e2m1x2.f32 %rs1, %f1, %f2",
};

static void test_refused(void)
{
    char message[PTX_MESSAGE_BYTES];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        begin("refused");
        put(refused[i], "");
        end();
        bool loads = load(message);
        CHECK(!loads && !strncmp(message, "line 18", 7), "%s: %s", refused[i], loads ? "loads" : message);
    }
}

int main(void)
{
    const char *program = ptxas();
    char message[PTX_MESSAGE_BYTES], name[32];
    for (uint32_t i = 0; i < ptx_form_count; i++) {
        snprintf(name, sizeof name, "form_%u", i);
        write_module(name, &ptx_forms[i], false);
        CHECK(load(message), "'%s': %s", ptx_forms[i].pattern, message);
        if (program) {
            write_module(name, &ptx_forms[i], true);
            ask_ptxas(program, ptx_forms[i].pattern);
        }
    }
    test_refused();
    return finish("forms");
}
