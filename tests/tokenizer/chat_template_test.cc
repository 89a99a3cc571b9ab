// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tokenizer/tokenizer.h"
#include "tests/tokenizer/model_folder.h"

namespace prefscore {
namespace {

using testing::HasSubstr;

constexpr char kHello[] = R"([{"role": "user", "content": "Hello"}])";

std::string Repeat(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

// The first failure of loading a folder with this template or rendering `input` with it, or the text.
absl::StatusOr<std::string> Render(const std::string& source, ChatTemplateInput input = {.messages_json = kHello},
                                   TokenizerOptions options = {}) {
  ModelFolder folder;
  folder.Write("chat_template.jinja", source);
  const auto tokenizer = Tokenizer::Load(folder.path(), std::move(options));
  if (!tokenizer.ok()) return tokenizer.status();
  const auto chat = (*tokenizer)->RenderChat(input);
  if (!chat.ok()) return chat.status();
  return chat->text;
}

TEST(ChatTemplateTest, RendersWithTransformersSettings) {
  EXPECT_EQ(*Render("{% for m in messages %}\n  {% if true %}\n{{ m.role }}: {{ m['content'] }}\n  {% endif %}\n"
                    "{% endfor %}\n{{ bos_token }}{{ eos_token }}{{ pad_token }}\n"),
            "user: Hello\n<s></s></s>");
  EXPECT_EQ(*Render("{% generation %}{{ messages[0].content }}{%- endgeneration %} !\r\n\r\n"), "Hello !\n");
  EXPECT_EQ(*Render("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}"), "TrueTrueFalse");
}

TEST(ChatTemplateTest, PreparesMessagesAsTransformersDoes) {
  const std::string messages = R"([{"role": "user", "name": null, "reasoning": "why", "z": 1, "a": 2}])";
  EXPECT_EQ(*Render("{{ messages | tojson }}", {.messages_json = messages}),
            R"([{"thinking": "why", "role": "user", "reasoning": "why", "z": 1, "a": 2, "reasoning_content": "why"}])");
}

TEST(ChatTemplateTest, DateComesFromTheClock) {
  ModelFolder folder;
  folder.Write("chat_template.jinja", "{% if messages[0].content == 'now' %}{{ strftime_now('%d %B %Y') }}{% endif %}");
  TokenizerOptions options;
  options.unix_time_now = [] { return std::int64_t{1785499200}; };  // 2026-07-31, noon UTC
  const auto tokenizer = Tokenizer::Load(folder.path(), options);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto dated = (*tokenizer)->RenderChat({.messages_json = R"([{"role": "user", "content": "now"}])"});
  EXPECT_EQ(dated->text, "31 July 2026");
  EXPECT_EQ(dated->date, "2026-07-31");
  EXPECT_EQ((*tokenizer)->RenderChat({.messages_json = kHello})->date, "");
}

TEST(ChatTemplateTest, UnsupportedConstructsNameTheLine) {
  for (const std::string construct :
       {"{{ 'a' | nonsense }}", "{{ 'a'.rsplit(' ') }}", "{{ nothing() }}", "{% if 1 is odd_looking %}{% endif %}",
        "{% include 'x' %}", "{% trans %}a{% endtrans %}", "{{ 1 +", "{% endfor %}"}) {
    const absl::Status status = Render("a\nb\n" + construct).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << construct;
    EXPECT_THAT(std::string(status.message()), HasSubstr("line 3")) << construct;
  }
}

TEST(ChatTemplateTest, ATemplateMayRefuseAConversation) {
  const absl::Status status = Render("{{ raise_exception('roles must alternate') }}").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("roles must alternate"));
}

TEST(ChatTemplateTest, RefusesBadRequests) {
  const std::string source = "{{ messages[0].content }}";
  std::vector<ChatTemplateInput> inputs;
  for (const std::string messages : {"", "{", "[]", "{}", "[1]", "\"text\"", "[{\"content\": \"\xff\"}]"}) {
    inputs.push_back({.messages_json = messages});
  }
  inputs.push_back({.messages_json = "[" + Repeat("[", 70) + Repeat("]", 70) + "]"});
  inputs.push_back({.messages_json = R"([{"role": "user", "content": 12345678901234567890123}])"});
  for (const std::string tools : {"{", "{}", "[1]", "\"[]\""}) {
    inputs.push_back({.messages_json = kHello, .tools_json = tools});
  }
  for (const std::string kwargs : {"[]", "{", R"({"chat_template": "{{ 1 }}"})", R"({"messages": []})",
                                   R"({"add_generation_prompt": true})"}) {
    inputs.push_back({.messages_json = kHello, .kwargs_json = kwargs});
  }
  for (const ChatTemplateInput& input : inputs) {
    EXPECT_EQ(Render(source, input).status().code(), absl::StatusCode::kInvalidArgument)
        << input.messages_json << input.tools_json << input.kwargs_json;
  }
  TokenizerOptions options;
  options.max_text_bytes = 20;
  EXPECT_EQ(Render(source, {.messages_json = kHello}, options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ChatTemplateTest, NeedsATemplate) {
  ModelFolder folder;
  const auto tokenizer = Tokenizer::Load(folder.path());
  EXPECT_EQ((*tokenizer)->RenderChat({.messages_json = kHello}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// Of this process so far.
std::int64_t PeakMemoryBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} << 10;
}

// Each would overflow the stack, fill the memory or not end.
TEST(ChatTemplateTest, SurvivesHostileTemplates) {
  const std::string nested_twice =
      "{% set ns = namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
  const std::string nested_deep =
      "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}";
  for (const std::string& source : {
           "{{ " + Repeat("[", 30000) + Repeat("]", 30000) + " }}",
           Repeat("{% if 1 %}", 3000) + Repeat("{% endif %}", 3000),
           nested_twice + "{{ ns.l }}", nested_twice + "{{ ns.l | tojson }}", nested_twice + "{{ ns.l | string }}",
           nested_deep + "{{ ns.l }}", nested_deep + "{{ ns.l | tojson }}",
           std::string("{{ '{:>2000000000}'.format(1) }}"), std::string("{{ '%2000000000d' | format(1) }}"),
           std::string("{{ 'a' * 2000000000 }}"), std::string("{{ [1] * 2000000000 }}"),
           std::string("{{ range(2000000000) | list }}"), std::string("{{ 'a\\nb' | indent(2000000000) }}"),
           std::string("{{ [1] | tojson(indent=2000000000) }}"), std::string("{{ strftime_now('%c' * 100000) }}"),
           std::string("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"),
           std::string("{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(0) }}"),
           std::string("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(40) %}"
                       "{% set ns.s = ns.s.replace('a', ns.s) %}{% endfor %}"),
           std::string("{{ ['a' * 1000000] * 3000 }}"), std::string("{{ (['a' * 1000000] * 3000) | string }}"),
           std::string("{{ ([1] * 3000) | tojson(indent='x' * 1000000) }}"),
           std::string("{{ ([1] * 3000) | tojson(separators=('x' * 1000000, ':')) }}"),
           std::string("{{ [[[[[[[[[1] * 200000]]]]]]]] | tojson(indent=64) | length }}{{ 'a' * 99000000 }}"),
           std::string(70000, 'x'),
       }) {
    const absl::Status status = Render(source).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << source.substr(0, 200);
    EXPECT_LT(PeakMemoryBytes(), std::int64_t{1} << 30) << source.substr(0, 200);
  }
  for (const std::string& source :
       {"{{ " + Repeat("1+", 30000) + "1 }}", "{{ " + Repeat("-", 60000) + "1 }}",
        "{{ " + Repeat("not ", 16000) + "1 }}", nested_deep + "x"}) {
    EXPECT_TRUE(Render(source).ok()) << source.substr(0, 80) << Render(source).status();
  }
}

// Nor does it bound lists that the engine itself turns into text. The memory is lost, so there is no second try.
TEST(ChatTemplateTest, StopsATemplateThatTakesTooMuchMemory) {
  constexpr char kGrow[] = R"([{"role": "user", "content": "grow"}])";
  const std::string lists = "{% set a = ['x' * 1000000] * 3000 %}";
  for (const std::string& expression : {"a ~ ''", "a | upper", "a | replace('y', 'z')", "a | trim", "a | pprint"}) {
    ModelFolder folder;
    folder.Write("chat_template.jinja", "{% if messages[0].content == 'grow' %}" + lists + "{{ (" + expression +
                                            ") | length }}{% endif %}");
    const auto tokenizer = Tokenizer::Load(folder.path(), {});
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const auto render = [&] {
      return std::string((*tokenizer)->RenderChat({.messages_json = kGrow}).status().message());
    };
    EXPECT_THAT(render(), HasSubstr("bytes of memory")) << expression;
    EXPECT_THAT(render(), HasSubstr("not rendered any more")) << expression;
    EXPECT_LT(PeakMemoryBytes(), std::int64_t{3} << 30) << expression;
  }
}

// Fuel does not bound this one: it is given up after some seconds.
TEST(ChatTemplateTest, GivesUpATemplateThatDoesNotEnd) {
  const absl::Status status = Render(
      "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}"
      "{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not done after"));
}

}  // namespace
}  // namespace prefscore
