require "bundler/setup"
require "greet"
require "socket"

server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT")))
loop do
  Thread.new(server.accept) do |client|
    line = client.gets
    line = client.gets until line.nil? || line == "\r\n"
    body = "#{WORDS} Ruby #{RUBY_VERSION} #{ENV["STAGE"]}"
    client.write("HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}")
    client.close
  end
end
