/* SPDX-License-Identifier: Apache-2.0 */
/* companions: which files of a folder a program needs beside the weights. */
#include <string.h>

#include "model/model.h"

bool sc_is_companion(struct sc_str path)
{
    static const char *const globs[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer*",
                                        "vocab*",
                                        "merges.txt",
                                        "special_tokens_map.json",
                                        "*.tiktoken",
                                        "*.model",
                                        "added_tokens.json",
                                        "preprocessor_config.json",
                                        "spiece*",
                                        "chat_template*",
                                        "processor_config.json",
                                        "configuration_*.py",
                                        "modeling_*.py"};

    if (memchr(path.p, '/', path.n))
        return false;
    for (size_t i = 0; i < SC_COUNT(globs); i++)
        if (sc_glob(sc_strz(globs[i]), path))
            return true;
    return false;
}
