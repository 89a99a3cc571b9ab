# One static library per folder, one test program per *_test.cc: the dependency graph is the list of these calls.

# prefscore_library(NAME DEPS...): every .cc of the current folder, as target NAME.
function(prefscore_library name)
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARGN})
endfunction()

# prefscore_tests(DEPS...): every *_test.cc of the current folder, each its own program and ctest entry. Those that the
# folder names in tests_with_torch are left out of a build without LibTorch.
function(prefscore_tests)
  file(GLOB sources CONFIGURE_DEPENDS *_test.cc)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
  foreach(source ${sources})
    get_filename_component(stem ${source} NAME_WE)
    if(NOT PREFSCORE_TORCH AND stem IN_LIST tests_with_torch)
      continue()
    endif()
    add_executable(${stem} ${source})
    target_include_directories(${stem} PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${stem} PRIVATE ${ARGN} GTest::gmock GTest::gtest_main)
    if(TARGET prefscore_absl_for_tsan)
      target_sources(${stem} PRIVATE $<TARGET_OBJECTS:prefscore_absl_for_tsan>)
    endif()
    add_test(NAME ${folder}/${stem} COMMAND ${stem})
  endforeach()
endfunction()
