require "bundler"
puts "hello from Ruby #{RUBY_VERSION} and Bundler #{Bundler::VERSION}"
