# How everything is compiled where PREFSCORE_SANITIZER is set.
#   address  AddressSanitizer and UndefinedBehaviorSanitizer; with the counters that libFuzzer steers by, so that the
#            tests and the fuzz targets share one build
#   thread   ThreadSanitizer
# The libraries that come with the system are not instrumented.
if(NOT PREFSCORE_SANITIZER)
  return()
endif()
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "PREFSCORE_SANITIZER needs clang, not ${CMAKE_CXX_COMPILER_ID}: set CMAKE_CXX_COMPILER")
endif()

set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -gline-tables-only -fno-omit-frame-pointer")
if(PREFSCORE_SANITIZER STREQUAL "address")
  set(sanitizer_flags -fsanitize=address,undefined,float-cast-overflow,fuzzer-no-link -fno-sanitize-recover=all)
elseif(PREFSCORE_SANITIZER STREQUAL "thread")
  set(sanitizer_flags -fsanitize=thread)
else()
  message(FATAL_ERROR "PREFSCORE_SANITIZER is '${PREFSCORE_SANITIZER}', not one of: address, thread")
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${sanitizer_flags};-Wno-unknown-pragmas>")
add_link_options(${sanitizer_flags})

if(PREFSCORE_SANITIZER STREQUAL "thread")
  # The system's abseil is no more instrumented than the rest, but its locks must be understood: absl_for_tsan.cc.
  set(stand_in ${PROJECT_SOURCE_DIR}/tests/sanitizers/absl_for_tsan)
  # prefscore_tests() puts it into each test program.
  add_library(prefscore_absl_for_tsan OBJECT ${stand_in}.cc)
  target_include_directories(prefscore_absl_for_tsan PRIVATE ${PROJECT_SOURCE_DIR})
  # The linker wraps what shared libraries call, too, and so must see the functions; at run time those call the real ones.
  set_target_properties(prefscore_absl_for_tsan PROPERTIES CXX_VISIBILITY_PRESET default)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${stand_in}.txt)
  file(STRINGS ${stand_in}.txt wrapped_functions)
  foreach(function ${wrapped_functions})
    add_link_options(-Wl,--wrap=${function})
  endforeach()
endif()
