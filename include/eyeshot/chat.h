// What is said to a model: messages of text, pictures and clips, in any order.
#ifndef EYESHOT_CHAT_H_
#define EYESHOT_CHAT_H_

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "eyeshot/media.h"

namespace eyeshot {

// One part of a message. Pictures and clips are shared, not copied.
using ContentPart = std::variant<std::string, std::shared_ptr<const Image>, std::shared_ptr<const Frames>>;

enum class Role { kSystem, kUser, kAssistant };

struct Message {
  Role role = Role::kUser;
  std::vector<ContentPart> parts;

  static Message User(std::vector<ContentPart> parts) { return {Role::kUser, std::move(parts)}; }
  static Message System(std::string text) { return {Role::kSystem, {ContentPart(std::move(text))}}; }
  static Message Assistant(std::string text) { return {Role::kAssistant, {ContentPart(std::move(text))}}; }
};

}  // namespace eyeshot

#endif  // EYESHOT_CHAT_H_
