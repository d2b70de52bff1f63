#include "hub/known_models.h"

#include <array>

namespace eyeshot {
namespace {

// Parameters follow from the shapes of the published configurations.
constexpr std::array<KnownModel, 8> kModels = {{
    {"HuggingFaceTB/SmolVLM-256M-Instruct", "Apache-2.0", 256'484'928, 2, "photographs, short documents; the smallest"},
    {"HuggingFaceTB/SmolVLM-500M-Instruct", "Apache-2.0", 507'482'304, 2, "the same, with fewer mistakes"},
    {"HuggingFaceTB/SmolVLM-Instruct", "Apache-2.0", 2'246'272'880, 2, "the largest of the first family"},
    {"HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "Apache-2.0", 256'484'928, 4, "clips and photographs; the smallest"},
    {"HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "Apache-2.0", 507'482'304, 4,
     "clips and photographs, with fewer mistakes"},
    {"HuggingFaceTB/SmolVLM2-2.2B-Instruct", "Apache-2.0", 2'246'784'880, 4,
     "clips, several pictures, documents; the best of them"},
    {"ds4sd/SmolDocling-256M-preview", "CDLA-Permissive-2.0; Apache-2.0 in its first weeks", 256'484'928, 2,
     "pages to structured text (DocTags)"},
    {"ibm-granite/granite-docling-258M", "Apache-2.0", 257'517'120, 2,
     "pages to structured text (DocTags); SmolDocling's successor"},
}};

}  // namespace

std::span<const KnownModel> KnownModels() { return kModels; }

}  // namespace eyeshot
