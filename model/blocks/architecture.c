// SPDX-License-Identifier: MIT
//
// The list of architectures, from models.def.
#include "model/blocks/architecture.h"

#include <string.h>

#define ISO_MODEL(name) extern const iso_architecture iso_architecture_##name;
#include "model/models.def"

static const iso_architecture *const architectures[] = {
#define ISO_MODEL(name) &iso_architecture_##name,
#include "model/models.def"
};

const iso_architecture *iso_architecture_of(const iso_model_config *config)
{
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++)
        if (strcmp(architectures[i]->name, config->architecture) == 0)
            return architectures[i];
    return NULL;
}
