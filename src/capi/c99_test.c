/* Uses the whole C interface as a C99 program would. Called by eyeshot_test.cc. */
#include <stdio.h>
#include <string.h>

#include "eyeshot/eyeshot.h"

int eyeshot_c99_test(const char* model, const char* picture);

static int Collect(const char* text, size_t length, void* user) {
  char* collected = (char*)user;
  strncat(collected, text, length);
  return 0;
}

/* Returns 0 if everything went well, else the number of the step that did not. */
int eyeshot_c99_test(const char* model, const char* picture) {
  eyeshot_engine* engine = NULL;
  eyeshot_chat* chat = NULL;
  eyeshot_answer* answer = NULL;
  eyeshot_engine_options load;
  eyeshot_ask_options ask;
  eyeshot_image image = {NULL, NULL, 0};
  char streamed[4096] = "";
  int step = 0;

  eyeshot_engine_options_init(&load);
  load.context_tokens = 1024;
  eyeshot_ask_options_init(&ask);
  ask.on_text = Collect;
  ask.user = streamed;
  ask.max_tokens = 8;
  image.path = picture;
  if (eyeshot_load(model, &load, &engine, NULL) != EYESHOT_OK) {
    step = 1;
  } else if (eyeshot_new_chat(engine, NULL, &chat, NULL) != EYESHOT_OK) {
    step = 2;
  } else if (eyeshot_ask(chat, &image, 1, "What is this?", &ask, &answer, NULL) != EYESHOT_OK) {
    step = 3;
  } else if (strcmp(streamed, answer->text) != 0 || answer->tiles < 1 || answer->stages_json[0] != '[') {
    step = 4;
  }
  eyeshot_engine_free(engine); /* before its chat: allowed */
  eyeshot_chat_reset(chat);
  eyeshot_answer_free(answer);
  eyeshot_chat_free(chat);
  return step;
}
